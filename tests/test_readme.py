"""The README keeps its word: its Python runs, every command is in it, its test command is the one that CI runs."""

import re
import shlex
import tomllib

from documents import CHECKOUT, blocks, command_lines
from typer.main import get_command

from rnnbench.cells import cells
from rnnbench.cli import app
from rnnbench.tasks import tasks

README_FILE = CHECKOUT / "README.md"
README = README_FILE.read_text(encoding="utf-8")


def written_in(language: str) -> list[str]:
    return [block.text for block in blocks(README_FILE) if block.language == language]


def test_the_python_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = written_in("python")
    assert len(snippets) >= 4
    names: dict[str, object] = {}
    for snippet in snippets:
        # A snippet that starts with a file's name is that file; the others are typed in one after the other.
        file = re.match(r"# (\w+\.py)\n", snippet)
        if file:
            (tmp_path / file[1]).write_text(snippet, encoding="utf-8")
        else:
            exec(compile(snippet, "README.md", "exec"), names)
    assert {"layer", "grads", "result", "spec"} <= names.keys()


def test_the_commands_shown_are_all_there_are():
    lines = [line for block in blocks(README_FILE) for line in command_lines(block) if block.language == "sh"]
    shown = {shlex.split(line)[1] for line in lines if line.startswith("rnnbench ")}
    assert shown == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_ci_runs_the_test_command_to_the_letter():
    command = [line for block in written_in("sh") for line in block.splitlines() if "/pytest" in line]
    assert len(command) == 1
    assert command[0] in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "run: bash .ci/run" in (CHECKOUT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_every_extra_that_is_installed_exists():
    """pip only warns of one that does not, and tests that need it are then skipped."""
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    texts = [README, (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")]
    texts += [page.read_text(encoding="utf-8") for page in (CHECKOUT / "docs").glob("*.md")]
    named = {
        name
        for text in texts
        for found in re.findall(r"(?:'\.|rnnbench)\[([\w,]+)\]", text)
        for name in found.split(",")
    }
    assert {"test", "peers", "truth"} <= named <= set(extras)


def test_every_cell_and_task_is_named():
    missing = [name for name in [*cells(), *tasks()] if f"`{name}`" not in README]
    assert not missing


def test_nothing_is_left_to_fill_in():
    assert "FILL" not in README


def test_the_verdict_is_the_one_of_the_published_run():
    summary = (CHECKOUT / "reports" / "reference" / "quick" / "summary.md").read_text(encoding="utf-8")
    table = re.search(r"^\| cell \| adding.*?(?=\n\n)", summary, flags=re.DOTALL | re.MULTILINE)
    assert table is not None
    assert table[0] in README
    # The ratios to torch.nn in the text below the table, as the summary's own table has them.
    for cell in ("lstm", "gru", "elman\\_tanh"):
        [row] = [
            r for r in summary.splitlines() if r.startswith(f"| {cell} | training | T=100 B=32 I=128 H=128 | torch |")
        ]
        interval = re.search(r"([\d.]+)× \(([\d.]+–[\d.]+)\)", row)
        assert interval is not None
        assert f"{interval[1]} times" in README
        assert interval[2] in README


def test_the_table_of_speeds_is_the_one_of_the_published_run():
    summary = (CHECKOUT / "reports" / "reference" / "speed" / "summary.md").read_text(encoding="utf-8")
    published = {}
    for line in summary.splitlines():
        fields = [field.strip() for field in line.strip("|").split("|")]
        if len(fields) > 8 and fields[1] in ("training", "inference"):
            cell, mode, shape, ours, peer, ratio = fields[:6]
            published[cell, shape, mode] = f"{ours}, {ratio} {peer}"
    shown = {}
    for line in README.splitlines():
        fields = [field.strip() for field in line.strip("|").split("|")]
        if len(fields) == 4 and re.fullmatch(r"\d+(×\d+){3}", fields[1]):
            shown[fields[0], fields[1], "training"], shown[fields[0], fields[1], "inference"] = fields[2:]
    assert shown == published
    assert len(shown) == 54
    for line in summary.splitlines():
        if line.startswith(("| training:", "| inference:")):
            assert line in README
