"""The commands: the only room that sees every other. Nothing heavy is imported before a command needs it."""

from typing import Annotated

import typer

from rnnbench.cli import check, ci, compare, doctor, export, gradients, horizon, merge, run, show, speed, sweep
from rnnbench.cli.habits import Program

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the answer is no, or something could not be measured
  2    bad input, said in one sentence
  130  stopped by Ctrl-C; the same command goes on
rnnbench COMMAND --help shows worked examples."""

app = Program(
    help="Which recurrent cell should I use? Speed, memory and long-range accuracy, measured on this machine.",
    epilog=EXIT_CODES,
)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("sweep")(sweep.sweep)
app.command("horizon")(horizon.horizon)
app.command("speed")(speed.speed)
app.command("check")(check.check)
app.command("gradients")(gradients.gradients)
app.command("ci")(ci.ci)
app.command("list")(show.list_all)
app.command("info")(show.info)
app.command("report")(show.report)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        import rnnbench

        typer.echo(f"rnnbench {rnnbench.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line in ``sys.argv`` and exit with one of the codes that ``--help`` shows."""
    app(prog_name="rnnbench")
