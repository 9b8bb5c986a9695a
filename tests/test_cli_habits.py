"""What every command does alike: shared options, examples, configuration, completion, JSON, colours, a quick start."""

import json
import os
import shlex
import subprocess
import sys
import time

import pytest
from documents import parse
from typer.main import get_command
from typer.testing import CliRunner

from rnnbench.cli import app, completion, config, text
from rnnbench.cli.examples import EXAMPLES
from rnnbench.cli.habits import ALTERNATIVES
from rnnbench.errors import RnnbenchError

PROGRAM = get_command(app)
COMMANDS = PROGRAM.commands  # type: ignore[attr-defined]
# Without pydantic: typer reads the values of options with it.
HEAVY = ("numba", "numpy", "pandas", "scipy", "altair", "torch")


def invoke(*arguments: str, **environment: str):
    return CliRunner().invoke(app, arguments, env=environment)


def option(command: str, name: str):
    return next((one for one in COMMANDS[command].params if name in one.opts), None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.rnnbench]\n")
    return tmp_path


def configure(folder, *lines: str) -> None:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.rnnbench]", *lines, ""]), encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_shared_options_and_worked_examples(command, folder):
    shown = invoke(command, "--help").stdout
    for name in ("--config", "--quiet", "--no-color", "--json"):
        assert option(command, name) is not None, name
        assert name in shown
    assert "Examples:\n" in shown
    assert EXAMPLES[command]
    for line in EXAMPLES[command]:
        assert f"  {line}\n" in shown
        assert line.split()[1] == command
        parse(line)


def test_there_are_no_examples_of_commands_that_are_none():
    assert EXAMPLES.keys() == COMMANDS.keys()


def test_options_that_mean_the_same_take_the_same_kind_of_value():
    meanings: dict[str, set[tuple[bool, bool]]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            for name in parameter.opts if parameter.param_type_name == "option" else ():
                meanings.setdefault(name, set()).add((bool(parameter.is_flag), bool(parameter.multiple)))
    shared = ("--cells", "--tasks", "--output", "--engine", "--seed", "--json", "--quiet")
    assert {name: found for name, found in meanings.items() if name in shared and len(found) > 1} == {}


def test_help_tells_the_exit_codes():
    shown = invoke("--help").stdout
    for line in ("  0    done\n", "  2    bad input", "  130  stopped by Ctrl-C"):
        assert line in shown


def test_what_is_listed_is_named():
    assert "did you mean cells" in invoke("list", "cell").stderr
    assert invoke("list", "engines").stdout.count("Engines") == 1
    assert "Peers" not in invoke("list", "tasks").stdout
    for wrong in (("list", "peers", "--markdown"), ("list", "--markdown", "--json")):
        assert invoke(*wrong).exit_code == 2


def test_help_is_quick():
    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start

    bare, helped = min((seconds("-c", "pass"), seconds("-m", "rnnbench", "--help")) for _ in range(5))
    # 0.4 s on a machine that starts Python in 20 ms or less; where that takes longer, as many times as long.
    assert helped < 0.4 * max(1.0, bare / 0.02)


# Configuration


def test_a_project_file_gives_options_that_flags_override(folder):
    configure(folder, 'engine = "reference"', "hidden = 7", "[tool.rnnbench.run]", 'cells = ["gru", "mgu"]')
    assert list(parse("rnnbench run")["cells"]) == ["gru", "mgu"]
    assert parse("rnnbench run")["engine"] == "reference"
    flags = parse("rnnbench run --cells lstm --engine cpu")
    assert (list(flags["cells"]), flags["engine"]) == (["lstm"], "cpu")
    assert parse("rnnbench info lstm")["hidden"] == 7
    assert parse("rnnbench info lstm --hidden 9")["hidden"] == 9


def test_a_commands_own_table_wins_over_the_top(folder):
    configure(folder, "hidden = 7", "[tool.rnnbench.list]", "hidden = 8")
    assert parse("rnnbench list")["hidden"] == 8
    assert parse("rnnbench info lstm")["hidden"] == 7


def test_the_nearest_file_with_the_table_counts(folder, monkeypatch):
    configure(folder, "hidden = 7")
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')
    monkeypatch.chdir(inner)
    assert parse("rnnbench info lstm")["hidden"] == 7
    (inner / "pyproject.toml").write_text("[tool.rnnbench]\nhidden = 5\n")
    assert parse("rnnbench info lstm")["hidden"] == 5


def test_a_file_of_options_may_be_named(folder):
    configure(folder, "hidden = 7")
    (folder / "mine.toml").write_text("[info]\nhidden = 11\n")
    assert parse("rnnbench info lstm --config mine.toml")["hidden"] == 11
    assert parse("rnnbench info lstm --config pyproject.toml")["hidden"] == 7
    assert parse(f"rnnbench info lstm --config {os.devnull}")["hidden"] == 128


def test_names_with_dashes_underscores_and_aliases_are_one(folder):
    configure(folder, "[tool.rnnbench.speed]", "max_seconds = 0.5", 'cell = "gru"')
    assert parse("rnnbench speed")["max_seconds"] == 0.5
    assert list(parse("rnnbench speed")["cells"]) == ["gru"]
    configure(folder, "[tool.rnnbench.speed]", "max-seconds = 2")
    assert parse("rnnbench speed")["max_seconds"] == 2.0


def test_a_flag_puts_out_the_alternative_in_the_file(folder):
    configure(folder, "[tool.rnnbench.run]", "quick = true")
    assert parse("rnnbench run")["quick"] is True
    chosen = parse("rnnbench run --full")
    assert (chosen["quick"], chosen["full"]) == (False, True)
    configure(folder, "[tool.rnnbench.run]", "quick = true", "[tool.rnnbench.sweep]", 'preset = "small"')
    assert parse("rnnbench run --budget 10m")["quick"] is False
    assert parse("rnnbench sweep")["preset"] == "small"
    assert parse("rnnbench sweep mine.toml")["preset"] is None
    for names in ALTERNATIVES:
        assert any(names <= {parameter.name for parameter in command.params} for command in COMMANDS.values())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["hiden = 7"], "unknown key in {}: 'hiden'; did you mean hidden"),
        (["[tool.rnnbench.rnu]"], "unknown key in {}: 'rnu'; did you mean run"),
        (["[tool.rnnbench.run]", "cels = 'gru'"], "unknown key in [run] of {}: 'cels'; did you mean cells"),
        (["[tool.rnnbench.info]", "hidden = 'many'"], "info.hidden in {}: "),
        (["hidden = true"], "hidden in {} must be no truth value, got True"),
        (["quick = 1"], "quick in {} must be true or false, got 1"),
        (["[tool.rnnbench.info.hidden]", "x = 1"], "info.hidden in {} must be a value, got a table"),
        (["hidden = "], "configuration {} is not TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(lines, said, folder):
    configure(folder, *lines)
    result = invoke("info", "lstm")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("rnnbench: " + said.format(folder / "pyproject.toml"))
    # help stays readable, and a good file takes its place
    assert invoke("info", "--help").exit_code == 0
    assert invoke("info", "lstm", "--config", os.devnull).exit_code == 0


def test_a_file_that_is_not_there_is_said(folder):
    result = invoke("info", "lstm", "--config", "nowhere.toml")
    assert result.exit_code == 2
    assert result.stderr == "rnnbench: cannot read configuration nowhere.toml: no such file or directory\n"


def test_a_table_of_another_command_is_checked_too(folder):
    configure(folder, "[tool.rnnbench.speed]", "sampels = 3")
    assert "did you mean samples" in invoke("info", "lstm").stderr


def test_doctor_shows_the_configuration_and_where_it_is(folder):
    configure(folder, "hidden = 7", "[tool.rnnbench.run]", 'cells = ["gru", "mgu"]')
    shown = json.loads(invoke("doctor", "--json").stdout)["configuration"]
    assert shown == {
        "file": str(folder / "pyproject.toml"),
        "options": {"hidden": 7, "run.cells": ["gru", "mgu"]},
    }
    printed = invoke("doctor").stdout
    assert str(folder / "pyproject.toml") in printed
    assert "run.cells" in printed
    nothing = invoke("doctor", "--config", os.devnull)
    assert "gru" not in nothing.stdout


def test_the_command_that_is_recorded_says_what_the_file_said(folder):
    configure(folder, "[tool.rnnbench.run]", 'cells = ["gru", "mgu"]', "quick = true", 'engine = "reference"')
    parse("rnnbench run --engine cpu")
    told = config.command_line(["run", "--engine", "cpu"])
    assert told == "rnnbench run --engine cpu --quick --cells gru --cells mgu"
    (folder / "pyproject.toml").unlink()
    alone = parse(told)
    assert (list(alone["cells"]), alone["quick"], alone["engine"]) == (["gru", "mgu"], True, "cpu")
    assert config.command_line(["run"]) == "rnnbench run"


def test_a_broken_table_is_refused(folder):
    (folder / "pyproject.toml").write_text("[tool]\nrnnbench = 3\n")
    with pytest.raises(RnnbenchError, match="must be a table"):
        config.read(None)


# JSON


def document(*arguments: str):
    """Return the one JSON document of a command, which prints nothing else on its standard output."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_as_json():
    from rnnbench.cells import cells, get_cell
    from rnnbench.engines import engines
    from rnnbench.peers import peers
    from rnnbench.tasks import tasks

    listed = document("list", "--hidden", "4", "--input", "3")
    assert [cell["cell"] for cell in listed["cells"]] == cells()
    assert [task["task"] for task in listed["tasks"]] == tasks()
    assert (listed["engines"], listed["peers"]) == (engines(), peers())
    [lstm] = [cell for cell in listed["cells"] if cell["cell"] == "lstm"]
    assert lstm["parameters"] == get_cell("lstm").param_count(3, 4)
    assert document("list", "tasks").keys() == {"tasks"}


def test_info_as_json():
    told = document("info", "mgu", "--hidden", "4", "--input", "3")
    assert (told["name"], told["states"], told["sizes"]) == ("mgu", ["h"], {"I": 3, "H": 4})
    assert told["parameters"]["R.f"] == [4, 4]
    assert "2016" in told["cite"]


def test_doctor_as_json():
    from rnnbench.measure import machine_facts

    told = document("doctor")
    assert told["machine"] == machine_facts()
    assert told["engines"]["reference"] is None


def test_a_failure_says_nothing_on_standard_output():
    result = invoke("info", "lsmt", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


# Colours and quiet


def test_colours_are_left_out_on_demand(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    said = {}
    for plain in (False, True):
        text.dress(plain)
        text.warn(text.console(stderr=True), "careful")
        said[plain] = capsys.readouterr().err
    text.dress(False)
    assert "\x1b[33m" in said[False]
    assert said[True] == "careful\n"
    monkeypatch.setenv("NO_COLOR", "1")
    text.warn(text.console(stderr=True), "careful")
    assert capsys.readouterr().err == "careful\n"


def test_quiet_keeps_warnings_and_results(capsys):
    try:
        text.hush(True)
        out = text.console(stderr=True)
        text.tell(out, "under way")
        text.warn(out, "something failed")
        text.tell(text.console(), "the result")
        assert capsys.readouterr() == ("the result\n", "something failed\n")
    finally:
        text.hush(False)


def test_the_shared_options_reach_the_consoles(folder):
    parse("rnnbench info lstm --quiet --no-color")
    quiet, loud = text.console(stderr=True), text.console()
    assert (quiet.quiet, quiet.no_color, loud.quiet, loud.no_color) == (True, True, False, True)
    parse("rnnbench info lstm")
    assert (text.console(stderr=True).quiet, text.console(stderr=True).no_color) == (False, False)


def test_without_a_terminal_there_are_no_escapes_and_the_order_is_always_the_same():
    said = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "rnnbench", "list"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stderr == ""
        said.add(done.stdout)
    [only] = said
    assert "\x1b" not in only


# Completion


def typed(*words: str) -> dict[str, str]:
    """Return the environment in which bash asks what the last of these words may become."""
    return {
        "_RNNBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(["rnnbench", *words]),
        "COMP_CWORD": str(len(words)),
    }


def complete(*words: str) -> list[str]:
    return CliRunner().invoke(app, [], env=typed(*words), prog_name="rnnbench").stdout.split()


def test_completing_imports_nothing_heavy():
    code = (
        "import sys\nfrom rnnbench.cli import main\n"
        "try:\n    main()\nfinally:\n"
        f"    print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    environment = os.environ | typed("run", "--cells", "lstm,mg")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout.split(), done.stderr.split()) == (["lstm,mgu"], [])


def test_the_shell_completes_names():
    from rnnbench.cells import cells

    assert complete("info", "lstm_n") == [name for name in cells() if name.startswith("lstm_n")]
    assert complete("run", "--cells", "lstm,mg") == ["lstm,mgu"]
    assert complete("run", "--task", "copy") == ["copy"]
    assert complete("run", "--eng") == ["--engine"]


def test_what_completion_knows_is_what_there_is():
    from rnnbench.cells import cells
    from rnnbench.engines import engines
    from rnnbench.peers import peers
    from rnnbench.tasks import tasks

    assert completion.cells() == cells()
    assert completion.tasks() == tasks()
    assert {"small", "standard"} <= set(completion.presets())
    assert set(completion.ENGINES) == set(engines())
    assert set(completion.PEERS) == set(peers())


def test_every_list_of_names_is_completed():
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.name in completion.NAMES:
                context = command.make_context(command.name, [], resilient_parsing=True)
                assert parameter.shell_complete(context, ""), (command.name, parameter.name)


def test_completion_can_be_installed():
    shown = invoke("--help").stdout
    assert "--install-completion" in shown
    assert "--show-completion" in shown
