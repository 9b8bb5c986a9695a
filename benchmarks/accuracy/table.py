"""The table of reproduced results, as Markdown and as JSON."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rnnbench
from benchmarks.accuracy.row import Row
from rnnbench.report.tables import markdown_text

INTRODUCTION = """\
# Published results, run again

`python -m benchmarks.accuracy` writes this page: results that papers report on what recurrent cells remember and learn,
each trained again with the cells, tasks and training loop of rnnbench, at sizes that two cores can carry. A result is
judged by rules that were written down before its trials ran: "yes" where all hold, "in part" where some do. Learning
rates and budgets were looked for with seeds from 100 on and reported with seeds from 0 on; they are the same for all
arms of a row unless the row says otherwise. Intervals of rates are Wilson's, at 95%; ranges are over all seeds. Losses
and scores are those of the test set. Sizes and budgets are smaller than in the papers: a row that did not come out says
what these runs gave, and not that the paper is wrong.

A command stops and goes on without doing anything twice; `--seeds` runs more or fewer seeds, `--list` names the rows.
"""


def markdown(rows: Sequence[Row]) -> str:
    """Return accuracy.md."""
    lines = [INTRODUCTION, _table(("published", "came out", "here", "command"), map(_summary, rows))]
    for row in rows:
        lines += [f"## {row.name}", markdown_text(f"{row.claim} ({row.source})."), f"`{row.command}`"]
        lines += [f"Run here: {markdown_text(row.protocol)}"]
        lines += [markdown_text(one) for one in (row.note, row.missing and f"{row.missing}.") if one]
        if row.findings:
            told = [(rule.says, "yes" if one.holds else "no", one.numbers) for rule, one in row.findings]
            lines.append(_table(("rule", "holds", "numbers"), told))
        if row.entries:
            lines.append(_table(row.headings, row.entries))
    return "\n\n".join(line.rstrip("\n") for line in lines) + "\n"


def _summary(row: Row) -> tuple[str, ...]:
    # Two rules may look at the same numbers.
    numbers = "; ".join(dict.fromkeys(one.numbers for _, one in row.findings))
    return f"[{row.claim}](#{row.name})", row.outcome, numbers or row.missing, f"`{row.command}`"


def _table(headings: Sequence[str], rows: Any) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(one) for one in line)} |" for line in lines)


def _cell(text: str) -> str:
    # The table's own rules, links and commands stay what they are; all else is shown as it is.
    link = re.fullmatch(r"\[(.*)\]\((#\w+)\)", text)
    if link:
        return f"[{markdown_text(link[1])}]({link[2]})"
    return text if text == "---" or text.startswith("`") else markdown_text(text)


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Return accuracy.json."""
    return {
        "schema": 1,
        "rnnbench": rnnbench.__version__,
        "rows": [
            {
                "name": row.name,
                "claim": row.claim,
                "source": row.source,
                "command": row.command,
                "protocol": row.protocol,
                "missing": row.missing,
                "note": row.note,
                "outcome": row.outcome,
                "rules": [
                    {"says": rule.says, "holds": one.holds, "numbers": one.numbers} for rule, one in row.findings
                ],
                "data": row.data,
            }
            for row in rows
        ],
    }


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write accuracy.md and accuracy.json into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accuracy.json").write_text(json.dumps(document(rows), allow_nan=False, indent=1), encoding="utf-8")
    (folder / "accuracy.md").write_text(markdown(rows), encoding="utf-8")
