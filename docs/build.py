"""The documentation's own machinery: what mkdocs is told beside mkdocs.yml, and the parts of pages that are derived.

As a hook of mkdocs it turns formulas into MathML, which browsers show without a script. ``python docs/build.py`` writes
every derived part anew, in place; a test fails where one is not what it would write.
"""

import html
import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from typer.main import get_command

from rnnbench.cells import get_cell
from rnnbench.cli import app
from rnnbench.lang import Program
from rnnbench.lang.emit import cpu_source
from rnnbench.lang.ops import Affine
from rnnbench.lang.tiles import Tile, backward_tiles, forward_tiles

DOCS = Path(__file__).parent
REFERENCE = DOCS.parent / "reports" / "reference"
# Followed through the compiler in compiler.md: two products, one after the other, and little else.
FOLLOWED = "mgu"
# Of each kind that people choose from, in the order in which choose.md names them.
CHOSEN = ("elman_tanh", "indrnn", "min_gru", "mgu", "lstm_cifg", "gru", "lem", "lstm", "lstm_peephole")

# Formulas

_BLOCK = re.compile(r"^```math\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"(^```.*?^```$)", flags=re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(?<![\\$\w])\$([^$\n]+)\$(?![\w$])")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page whose LaTeX, in ``math`` fences and between dollars, is MathML, and that has every command's help
    where ``every command`` is asked for: a hook of mkdocs."""
    shown = _BLOCK.sub(lambda found: _formula(found[1]), markdown.replace("<!-- every command -->", _commands()))
    parts = _FENCED.split(shown)
    return "".join(part if part.startswith("```") else _in_text(part) for part in parts)


def _in_text(text: str) -> str:
    pieces = re.split(r"(`[^`\n]*`)", text)
    return "".join(
        piece if piece.startswith("`") else _INLINE.sub(lambda found: convert(found[1]), piece) for piece in pieces
    )


def _formula(latex: str) -> str:
    told = html.escape(" ".join(latex.split()))
    # The converter knows this environment by its other name.
    shown = convert(latex.replace("{aligned}", "{split}"), display="block")
    return f'<div class="formula" role="math" aria-label="{told}">{shown}</div>'


@cache
def _commands() -> str:
    program: Any = get_command(app)
    parts = []
    for name, command in program.commands.items():
        root = program.make_context("rnnbench", [name], resilient_parsing=True)
        told = command.get_help(command.make_context(name, [], parent=root, resilient_parsing=True))
        parts.append(f"### rnnbench {name}\n\n{_fence('text', told)}")
    return "\n\n".join(parts)


# Parts that are derived. In a page: <!-- NAME --> before and <!-- end --> behind.


def answers() -> str:
    """What the published quick run answers, in its own words."""
    summary = (REFERENCE / "quick" / "summary.md").read_text(encoding="utf-8")
    return "\n".join(line for line in summary.split("\n## ")[0].splitlines() if line.startswith("- **"))


def verdict() -> str:
    """The published quick run's table of the verdict."""
    return _table("quick", "Verdict")


def cost() -> str:
    """What a training step of some cells costs, from the published table of all cells."""
    rows: dict[str, dict[str, str]] = {}
    for title in ("Speed of RNN, GRU and LSTM", "Speed of other cells"):
        head, _, *body = _table("all_cells", title).splitlines()
        names = _fields(head)
        for line in body:
            row = dict(zip(names, _fields(line), strict=True))
            rows.setdefault(row["cell"].replace("\\", ""), {})[row["mode"]] = row["ours"]
            rows[row["cell"].replace("\\", "")]["workspace of " + row["mode"]] = row["workspace"]
    lines = ["| cell | training | inference | memory of training | parameters |", "| --- | ---: | ---: | ---: | ---: |"]
    for cell in CHOSEN:
        row = rows[cell]
        counted = f"{get_cell(cell).param_count(128, 128):,}"
        told = (row["training"], row["inference"], row["workspace of training"], counted)
        lines.append(f"| [`{cell}`](cells.md#{cell}) | {' | '.join(told)} |")
    return "\n".join(lines)


def noise() -> str:
    """How far apart identical code read in the published table of all cells."""
    summary = (REFERENCE / "all_cells" / "summary.md").read_text(encoding="utf-8")
    [line] = [line for line in summary.splitlines() if line.startswith("- **Noise floor")]
    return line


def _table(report: str, title: str) -> str:
    """Return a table of a published summary, as Markdown."""
    summary = (REFERENCE / report / "summary.md").read_text(encoding="utf-8")
    section = summary.split(f"\n### {title}\n")[1].split("\n#")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith("|"))


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.strip().strip("|").split("|")]


def _program() -> Program:
    return get_cell(FOLLOWED).program


def cell_source() -> str:
    """The followed cell's step, as its file has it."""
    return _fence("python", inspect.getsource(get_cell(FOLLOWED).function), f"from rnnbench/cells/{FOLLOWED}.py")


def equations() -> str:
    """Its equations, as traced."""
    return (
        "```math\n\\begin{aligned}\n"
        + "\n".join(f"{_aligned(line)} \\\\" for line in get_cell(FOLLOWED).latex())
        + ("\n\\end{aligned}\n```")
    )


def _aligned(line: str) -> str:
    return line.replace(" = ", " &= ", 1)


def stages() -> str:
    """The stages of its step and of its adjoint: products, then how many pointwise operations."""
    program = _program()
    lines = ["| step | stage | products | pointwise operations per unit |", "| --- | ---: | --- | ---: |"]
    for step, of in (("forward", program.stages), ("backward", program.adjoint.stages)):
        for index, stage in enumerate(of):
            products = ", ".join(_product(node) for node in stage.products) or "none"
            lines.append(f"| {step} | {index} | {products} | {sum(node.op.flops for node in stage.nodes)} |")
    return "\n".join(lines)


def _product(node: Any) -> str:
    if isinstance(node.value, Affine):
        return " ".join(f"`R.{matrix}`" for matrix in node.value.matrices)
    return " ".join(f"`R.{matrix}`, transposed" for matrix in node.value)


def tiles() -> str:
    """What each tile of training reads, stores and sums."""
    program = _program()
    lines = ["| tile | reads | writes | sums over the rows |", "| --- | --- | --- | --- |"]
    for tile in _tiles(program):
        parts = [_streams(stream for stream, _ in group) for group in (tile.loads, tile.stores, tile.sums)]
        lines.append(f"| `{tile.name}` | {' | '.join(parts)} |")
    return "\n".join(lines)


def _tiles(program: Program) -> list[Tile]:
    found = [*forward_tiles(program, True), *backward_tiles(program)]
    return [tile for tile in found if tile.stores or tile.sums]


def _streams(streams: Any) -> str:
    return ", ".join(f"{stream.kind} `{stream.name}`" for stream in streams)


def kernel_of(*names: str) -> Callable[[], str]:
    """Return the part that shows these functions of the emitted file."""

    def part() -> str:
        functions = re.split(r"\n\n\n(?=@)", cpu_source(_program()).rstrip())
        shown = [one for name in names for one in functions if f"\ndef {name}(" in one]
        assert len(shown) == len(names), names
        return _fence("python", "\n\n\n".join(shown), "emitted by the compiler")

    return part


def _fence(language: str, text: str, title: str | None = None) -> str:
    told = f' title="not run: {title}"' if title else ""
    return f"```{language}{told}\n{text.rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "answers": answers,
    "verdict": verdict,
    "cost": cost,
    "noise": noise,
    "cell": cell_source,
    "equations": equations,
    "stages": stages,
    "tiles": tiles,
    "training kernel": kernel_of("training_1_body", "training_1"),
    "backward bodies": kernel_of("backward_0_body", "backward_1_body", "backward_2_body"),
}


def written(page: str) -> str:
    """Return a page's text with every derived part as it is now; an unknown name is a KeyError."""
    return re.sub(
        r"^<!-- ([\w ]+) -->\n.*?^<!-- end -->$",
        lambda found: f"<!-- {found[1]} -->\n{PARTS[found[1]]()}\n<!-- end -->",
        page,
        flags=re.DOTALL | re.MULTILINE,
    )


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
