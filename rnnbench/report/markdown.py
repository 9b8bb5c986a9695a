"""The summary: the same answers, tables and figures as the page, in Markdown with PNG figures."""

from rnnbench.report.page import Report
from rnnbench.report.tables import markdown_text


def markdown(report: Report) -> str:
    """Return summary.md, whose figures lie under figures/."""
    parts = [f"# {report.title}", ""]
    parts += [
        f"- **{one.question}: {markdown_text(one.winner)}.** {markdown_text(one.sentence)}" for one in report.answers
    ]
    parts += ["", *[f"{markdown_text(note)}\n" for note in report.notes]]
    if report.verdict:
        parts.append(report.verdict.markdown())
    for section in report.sections:
        parts.append(f"## {section.title}\n")
        for figure in section.figures:
            title, caption = markdown_text(figure.title), markdown_text(figure.caption)
            parts.append(f"### {title}\n\n![{title}](figures/{figure.name}.png)\n\n{caption}\n")
        parts += [table.markdown() for table in section.tables]
    parts.append("## Machine and protocol\n")
    parts += [table.markdown() for table in (report.machine, report.protocol) if table]
    if report.reproduce:
        lines = "\n".join(f"    {' '.join(line.split())}" for line in report.reproduce)
        parts.append(f"### How to reproduce\n\n{lines}\n")
    return "\n".join(parts)
