"""docs/write_a_cell.md keeps its word: its files, its Python and its commands run, in order, and print what it says.

The runs are made small: a tiny preset in place of --quick, and float32 alone in ``check``. Those that train are slow.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from test_cli_run import TINY
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.cli import plan as planning
from rnnbench.measure import conformance

PAGE = (Path(__file__).parents[1] / "docs" / "write_a_cell.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
# Commands that end with another exit code than 0.
EXIT_CODES = {"rnnbench check wrong.py:wrong": 2}


def run_command(line: str) -> str:
    """Run a command of the page, and return what it prints."""
    program, *arguments = shlex.split(line)
    assert program == "rnnbench"
    if arguments[0] in ("run", "compare"):
        arguments += ["--processes", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == EXIT_CODES.get(line, 0), result.output
    return result.output


def publish(folder: Path, pyproject: str) -> None:
    """Do what installing the page's package does: put its entry points beside its files."""
    project = tomllib.loads(pyproject)["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_page_has_blocks_of_every_kind():
    assert [kind for kind, _ in BLOCKS if kind not in ("python", "sh", "text", "toml")] == []
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "text", "toml"}
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert {shlex.split(line)[1] for line in commands} == {"check", "info", "run", "compare"}


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "QUICK", replace(TINY, lengths={"adding": (4,)}, seeds=1, memory=(), compiled=0))
    monkeypatch.setattr(conformance, "DTYPES", ("float32",))
    return tmp_path


def follow(folder: Path, left_out: tuple[str, ...]) -> None:
    """Do what the page says, from its top to its end, but for the commands in ``left_out``."""
    names: dict[str, object] = {}
    printed = ""
    for kind, block in BLOCKS:
        if kind == "sh":
            lines = [line for line in block.splitlines() if shlex.split(line)[1] not in left_out]
            printed = "".join(run_command(line) for line in lines)
        elif kind == "text":
            assert [line for line in block.splitlines() if line not in printed] == []
        elif kind == "toml":
            publish(folder, block)
        elif file := re.match(r"# (\w+\.py)\n", block):
            (folder / file[1]).write_text(block, encoding="utf-8")
        else:
            exec(compile(block, "write_a_cell.md", "exec"), names)
    assert {"layer", "grads", "spec"} <= names.keys()


def test_the_page_runs_in_its_order(small):
    follow(small, left_out=("run", "compare"))
    paths = os.pathsep.join([str(small), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "published.py"], cwd=small, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_page_runs_with_its_runs(small):
    follow(small, left_out=())
    assert (small / "reports" / "latest" / "report.html").is_file()


def test_ten_lines_are_ten_lines():
    [first] = [block for kind, block in BLOCKS if kind == "python" and block.startswith("# mine.py\n")]
    assert len(first.splitlines()) <= 10


def test_what_the_page_says_of_structures_and_initialisers_exists():
    from rnnbench.lang import weights
    from rnnbench.nn.initialisers import INITIALISERS

    told = PAGE[PAGE.index("- `init`") : PAGE.index("- `rate=1.0`")]
    quoted = {name for name in re.findall(r'`"(\w+)(?:\([^)]*\))?"`', told) if name not in ("R", "b")}
    assert len(quoted) >= 8
    assert quoted <= {*weights.STRUCTURES, *INITIALISERS}
