"""docs/ keeps its word: every command is one, every Python block runs, every derived part is what would be written
now, and the site builds without a warning and asks for nothing from elsewhere."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from documents import CHECKOUT, DOCS, PAGES, Block, blocks, command_lines, parse
from typer.main import get_command
from typer.testing import CliRunner

import rnnbench
from rnnbench.cli import app, config

# These say nothing that trains or compiles, so that they are run wherever they stand.
QUICK = ("list", "info", "doctor")
# Pages whose blocks another test runs, in an order and with sizes of its own.
RUN_ELSEWHERE = {"write_a_cell.md": "test_docs_tutorial.py"}
# What else a shell block may call, with what must be there for it.
OTHERS = {
    "pip",
    ".venv/bin/pip",
    "python3",
    "git",
    "asv",
    ".venv/bin/asv",
    "bash",
    "cd",
    "dask",
    ".venv/bin/mkdocs",
    ".venv/bin/pytest",
}
NAMED = {page.name: page for page in [*PAGES, CHECKOUT / "README.md"]}


def build_module():
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shell_lines(name: str) -> list[str]:
    return [line for block in blocks(NAMED[name]) if block.language == "sh" for line in command_lines(block)]


@pytest.mark.parametrize("name", NAMED)
def test_every_command_line_is_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in shell_lines(name):
        if line.startswith("rnnbench "):
            parse(line)
        elif line.startswith("python -m benchmarks."):
            assert (CHECKOUT / f"{shlex.split(line)[2].replace('.', '/')}.py").is_file(), line
        elif line.startswith("python "):
            assert (CHECKOUT / shlex.split(line)[1]).is_file(), line
        else:
            assert line.split()[0] in OTHERS, line


@pytest.mark.parametrize("name", [page.name for page in PAGES if page.name not in RUN_ELSEWHERE])
def test_python_runs_from_top_to_bottom_and_quick_commands_too(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed = ""
    for block in blocks(NAMED[name]):
        if block.not_run:
            continue
        if block.language == "python":
            run_python(block, names, name)
        elif block.language == "sh":
            printed = "".join(run_if_quick(line) for line in command_lines(block))
        elif block.language == "text" and printed:
            assert [line for line in block.text.splitlines() if line not in printed] == []
        elif block.language == "toml":
            tomllib.loads(block.text)


def run_python(block: Block, names: dict[str, object], page: str) -> None:
    """Run a block after those before it; one that starts with a file's name is that file."""
    file = re.match(r"# (\w+\.py)\n", block.text)
    if file:
        with open(file[1], "w", encoding="utf-8") as written:
            written.write(block.text)
    else:
        exec(compile(block.text, page, "exec"), names)


def run_if_quick(line: str) -> str:
    """Run a command that says something at once, and return what it printed; "" for any other."""
    words = shlex.split(line)
    if words[0] != "rnnbench" or not (words[1] in QUICK or "--help" in words) or "--limits" in words:
        return ""
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    return result.output


def test_configurations_that_are_shown_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    shown = 0
    for page in PAGES:
        for block in blocks(page):
            if block.language == "toml" and "[tool.rnnbench" in block.text:
                (tmp_path / "pyproject.toml").write_text(block.text, encoding="utf-8")
                found = config.read(None)
                for command in commands:
                    found.defaults(command, commands)
                shown += 1
    assert shown >= 1


def test_pages_that_are_run_elsewhere_are():
    for page, test in RUN_ELSEWHERE.items():
        assert page in (CHECKOUT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_derived_parts_are_what_would_be_written_now(page):
    text = page.read_text(encoding="utf-8")
    assert build_module().written(text) == text, "run: python docs/build.py"


def test_a_derived_part_that_is_stale_is_written_anew():
    stale = "before\n<!-- cell -->\nold\n<!-- end -->\nbehind\n"
    written = build_module().written(stale)
    assert "old" not in written
    assert "def mgu(x, R, b, h):" in written
    assert (written[:7], written[-8:]) == ("before\n", "\nbehind\n")


def test_the_api_page_has_every_public_name():
    shown = set(re.findall(r"^::: [\w.]+\.(\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert shown >= {name for name in rnnbench.__all__ if not name.startswith("__")}


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", NAMED["README.md"].read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


def test_the_help_of_every_command_is_in_the_site():
    page = build_module().on_page_markdown(NAMED["command_line.md"].read_text(encoding="utf-8"))
    for command in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"### rnnbench {command}\n" in page
        assert f"Usage: rnnbench {command} [OPTIONS]" in page


def test_formulas_become_mathml():
    build = build_module()
    shown = build.on_page_markdown(
        "```math\nh_t &= \\tanh(x) \\\\\n```\nand $R_g h$, `$PATH`, 5\\$\n```sh\necho $A $B\n```\n"
    )
    assert shown.count("<math") == 2
    assert "`$PATH`" in shown
    assert "echo $A $B" in shown


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path):
    pytest.importorskip("mkdocs", reason="the documentation's builder is an extra: pip install '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = sorted(tmp_path.glob("*.html"))
    assert {page.stem for page in pages} >= {page.stem for page in PAGES}
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|img|iframe)[^>]* src=\"?https?:", html) == [], page.name
        assert re.findall(r"<link[^>]* rel=\"?(?:stylesheet|preconnect)\"?[^>]* href=\"?https?:", html) == [], page.name
