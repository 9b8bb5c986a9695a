"""The pages under docs/ as tests read them: their fenced blocks, and what a command line in one means."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from rnnbench.cli import app

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# What may stand in front of an rnnbench command.
_PREFIX = re.compile(r"^(?:[\w./]*/)?(?=rnnbench )")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and why it is not run, where its fence says so."""

    language: str
    text: str
    not_run: str | None


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [_block(info, text) for info, text in found]


def _block(info: str, text: str) -> Block:
    language, _, options = info.strip().partition(" ")
    reason = re.fullmatch(r'title="not run: (.+)"', options)
    assert not options or reason, f"a fence says its language, and why it is not run or nothing: {info!r}"
    return Block(language, text, reason[1] if reason else None)


def command_lines(block: Block) -> list[str]:
    """Return the command lines of a shell block: without comments and redirections, ``&&`` taken apart."""
    joined = block.text.replace("\\\n", " ")
    parts = [part.split(" #")[0].strip() for line in joined.splitlines() for part in line.split(" && ")]
    found = [_PREFIX.sub("", part) for part in parts if part and not part.startswith("#")]
    return [re.sub(r" > \S+$", "", line) for line in found]


def parse(line: str) -> dict[str, Any]:
    """Return the parameters that a command would get, without running it; fails for what it does not take."""
    program = get_command(app)
    _, *words = shlex.split(line)
    if words[0].startswith("-"):  # of the program itself, such as --help
        assert words[0] in {option for parameter in program.params for option in parameter.opts} | {"--help"}
        return {}
    commands: dict[str, Any] = program.commands  # type: ignore[attr-defined]
    if "--help" in words:
        assert words[0] in commands
        return {}
    root = program.make_context("rnnbench", words[:1], resilient_parsing=True)
    return commands[words[0]].make_context(words[0], words[1:], parent=root).params
