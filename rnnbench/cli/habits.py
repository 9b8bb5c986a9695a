"""What every command does alike, so that none has to: options of its own from a file, the shared options, worked
examples, completion of names, and one sentence for bad input."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from rnnbench.cli import config
from rnnbench.cli.completion import offer_names
from rnnbench.cli.examples import EXAMPLES
from rnnbench.cli.text import dress, hush
from rnnbench.errors import RnnbenchError

# Of these the command line names one at most: one that is given there puts out the others of the file.
ALTERNATIVES = (frozenset({"quick", "full", "budget"}), frozenset({"plan_file", "preset"}))


def _shared(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            expose_value=False,
            help="A TOML file of options; not given, [tool.rnnbench] of the nearest pyproject.toml that has it.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", expose_value=False, callback=hush, help="No progress; results and failures alone."),
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option("--no-color", expose_value=False, callback=dress, help="No colours; nor where NO_COLOR is set."),
    ] = False,
) -> None:
    """Declare the options that every command has."""


@cache
def _shared_options() -> tuple[Any, ...]:
    template = typer.Typer(add_completion=False)
    template.command()(_shared)
    return tuple(get_command(template).params)


class Command(TyperCommand):
    """A command with the shared options and its examples; what the command line leaves open, the configuration says."""

    def __init__(self, name: str | None, **settings: Any):
        super().__init__(name, **settings)
        own = {option for parameter in self.params for option in parameter.opts}
        self.params += [option for option in _shared_options() if own.isdisjoint(option.opts)]
        # Whole in the list of commands too: without a short help, a long one is cut off there.
        self.short_help = " ".join((self.help or "").partition("\n\n")[0].split())
        examples = EXAMPLES.get(name or "", {})
        if examples:
            lines = [line for command, what in examples.items() for line in (f"  # {what}", f"  {command}")]
            self.epilog = "\n".join(["\b", "Examples:", *lines])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        parsed, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        # Of an argument that is left out the parser says that it is not there, in words that differ between versions.
        given = {name: value for name, value in parsed.items() if isinstance(value, (str, bool, list, tuple)) and value}
        if ctx.resilient_parsing or given.get("help"):
            return super().parse_args(ctx, args)
        path = given.get("config")
        configuration = config.read(None if path is None else Path(str(path)))
        known: Mapping[str, Any] = getattr(ctx.find_root().command, "commands", {})
        settings = configuration.defaults(str(self.name), known)
        for names in ALTERNATIVES:
            if names & given.keys():
                settings = {name: value for name, value in settings.items() if name not in names}
        ctx.default_map = {name: value for name, (_, value) in settings.items()}
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            name = getattr(error.param, "name", None)
            if name in settings and name not in given:
                raise RnnbenchError(f"{settings[name][0]}: {error.message}") from error
            raise
        config.put_in_force(configuration, _words(self.params, ctx.default_map, given))
        return rest


def _words(parameters: list[Any], defaults: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return what a command line would have to say in place of the file."""
    words: list[str] = []
    for parameter in parameters:
        value = defaults.get(parameter.name)
        if value is None or parameter.name in given or (value is False and not parameter.secondary_opts):
            continue
        if isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
            continue
        for one in [value] if isinstance(value, str) else value:
            words += [parameter.opts[0], one]
    return words


class Commands(TyperGroup):
    """Turns what a caller can mend into one sentence on standard error and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RnnbenchError as error:
            typer.echo(f"rnnbench: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from error


class Program(typer.Typer):
    """A program whose commands all have these habits; plain help, which reads the same in a pipe."""

    def __init__(self, **settings: Any):
        super().__init__(
            cls=Commands,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:  # type: ignore[override]
        register = super().command(name, **{"cls": Command, **settings})

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            offer_names(function)
            return register(function)

        return decorate
