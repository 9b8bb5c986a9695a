"""The summary: the same answers, tables and figures as the page, in Markdown with PNG figures."""

from rnnbench.report.figure import Figure
from rnnbench.report.page import Report
from rnnbench.report.tables import markdown_text


def markdown(report: Report) -> str:
    """Return summary.md, whose figures lie under figures/."""
    parts = [f"# {report.title}", "", f"**{markdown_text(report.headline)}**", ""]
    parts += [_figure(report.picture)] if report.picture else []
    parts += [
        f"- **{one.question}: {markdown_text(one.winner)}.** {markdown_text(one.sentence)}" for one in report.answers
    ]
    parts += ["", *[f"{markdown_text(note)}\n" for note in report.notes]]
    if report.verdict:
        parts.append(report.verdict.markdown())
    for section in report.sections:
        parts.append(f"## {markdown_text(section.title)}\n")
        parts += [f"{markdown_text(text)}\n" for text in section.text]
        parts += [_figure(figure) for figure in section.figures]
        parts += [table.markdown() for table in section.tables]
    parts.append("## Machine and protocol\n")
    parts += [table.markdown() for table in report.origin]
    if report.reproduce:
        lines = "\n".join(f"    {' '.join(line.split())}" for line in report.reproduce)
        parts.append(f"### How to reproduce\n\n{lines}\n")
    return "\n".join(parts)


def _figure(figure: Figure) -> str:
    title, caption = markdown_text(figure.title), markdown_text(figure.caption)
    return f"### {title}\n\n![{title}](figures/{figure.name}.png)\n\n{caption}\n"
