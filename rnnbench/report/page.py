"""The page: what the records say as one HTML file that loads nothing from anywhere."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jinja2
import vl_convert

from rnnbench.report import speed, speed_tables, tables, verdict
from rnnbench.report.cell_facts import CellFacts, facts_of, names_in
from rnnbench.report.figure import Figure, Rows
from rnnbench.report.figures import palette_of
from rnnbench.report.filters import COLUMNS, base_name, filters_of, row_about
from rnnbench.report.frames import times, trials
from rnnbench.report.gradients import gradient_answer
from rnnbench.report.horizon import horizon_answer
from rnnbench.report.machines import machines_note
from rnnbench.report.measuring import measuring_table
from rnnbench.report.palette import colours, solid, theme
from rnnbench.report.pareto import headline, pareto
from rnnbench.report.protocol import machine_table, protocol_table, reproduce
from rnnbench.report.section import Evidence, Section
from rnnbench.report.sections import make_sections
from rnnbench.report.source import Source
from rnnbench.report.tables import Table


@dataclass(frozen=True)
class CellPage:
    """What the report says on one cell: ``facts`` (None: its equations are not here), ``standing``: heading and entry
    of its row in the verdict, ``figures``: the names of those in which it appears.
    """

    name: str
    anchor: str
    facts: CellFacts | None
    standing: Sequence[tuple[str, str]]
    figures: Sequence[str]


@dataclass(frozen=True)
class Report:
    """What the page and the summary both show."""

    source: Source
    title: str
    headline: str
    picture: Figure | None
    answers: list[verdict.Answer]
    notes: list[str]
    verdict: Table | None
    sections: list[Section]
    cells: list[CellPage]
    origin: list[Table]
    reproduce: list[str]

    @property
    def figures(self) -> list[Figure]:
        """Every figure, in the order in which they are shown."""
        first = [] if self.picture is None else [self.picture]
        return first + [figure for section in self.sections for figure in section.figures]

    @property
    def tables(self) -> list[Table]:
        """Every table, in the order in which they are shown."""
        first = [] if self.verdict is None else [self.verdict]
        return [*first, *(table for section in self.sections for table in section.tables), *self.origin]


def build(source: Source) -> Report:
    """Return the report on ``source``, without sections in which nothing was measured."""
    records = source.records
    fast, kept, far = speed_tables.speed_answers(records), gradient_answer(records), horizon_answer(records)
    # Of a folder in which no cells were compared, the question is another one.
    only_part = not any(record["kind"] in ("time", "memory", "compile", "trial") for record in records)
    answers = [*fast, *filter(None, (far, kept))]
    only_part = only_part and bool(answers)
    if not any(record["kind"] == "time" for record in records):
        # Only then: samples of two runs would else be taken for pairs of one.
        records = [*records, *speed.as_times(records)]
    evidence = Evidence(records, palette_of(records), source.history)
    if not only_part:
        answers = [*verdict.answers(records), *answers]
    compared = None if only_part else tables.verdict_table(records)
    sections = make_sections(evidence)
    notes = [*verdict.peer_notes(times(records)), verdict.protocol_note(trials(records)), machines_note(records)]
    return Report(
        source=source,
        title=_title(only_part, fast, far),
        headline=speed_tables.speed_headline(source.records) or headline(evidence, answers),
        picture=pareto(evidence),
        answers=answers,
        notes=list(filter(None, notes)),
        verdict=compared,
        sections=sections,
        cells=_cell_pages(source, sections, compared),
        origin=[
            one
            for one in (measuring_table(source.records), machine_table(source), protocol_table(source.records))
            if one is not None
        ],
        reproduce=reproduce(source),
    )


def _title(only_part: bool, fast: Sequence[verdict.Answer], far: verdict.Answer | None) -> str:
    if not only_part:
        return "Which recurrent cell?"
    if fast:
        return "How fast are the kernels?"
    return "How far do gradients reach?" if far is None else "How far do cells remember?"


def _cell_pages(source: Source, sections: Sequence[Section], compared: Table | None) -> list[CellPage]:
    names = names_in(source.records)
    facts = facts_of(names, source.cells)
    drawn = [
        (figure.name, _cells_shown(figure)) for section in sections if section.anchor != "history"
        for figure in section.figures
    ]  # fmt: skip
    pages = []
    for place, name in enumerate(names):
        standing = [] if compared is None else _standing(compared, name)
        shown = [figure for figure, cells in drawn if name in cells]
        pages.append(CellPage(name, f"cell-{place}", facts.get(name), standing, shown))
    return pages


def _standing(compared: Table, name: str) -> list[tuple[str, str]]:
    """Return heading and entry of a cell's row; of one whose trials differ in settings, of a row for each of these."""
    found = []
    for row in compared.rows:
        if base_name(row[0].text) == name:
            setting = row[0].text.removeprefix(name)
            found += [
                (f"{heading}{setting}", entry.text) for heading, entry in zip(compared.columns, row, strict=True)
            ][1:]
    return found


def _cells_shown(figure: Figure) -> set[str]:
    rows = (row for data in figure.spec.get("datasets", {}).values() for row in data)
    return {base_name(str(row["cell"])) for row in rows if "cell" in row}


def html(report: Report) -> str:
    """Return the page. Names in it are escaped by the template engine; figures travel as JSON that no tag can end."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnnbench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    shown = report.figures
    anchors = {cell.name: cell.anchor for cell in report.cells}
    names = "|".join(re.escape(name) for name in sorted(anchors, key=len, reverse=True))
    return environment.get_template("report.html.j2").render(
        report=report,
        filters=filters_of(shown, report.tables),
        row_about=row_about,
        base_name=base_name,
        anchors=anchors,
        headline=re.split(rf"(?<!\w)({names})(?!\w)", report.headline) if names else [report.headline],
        columns=dict(COLUMNS),
        figures={figure.name: _shown(figure) for figure in shown},
        theme=theme(),
        light=colours(dark=False),
        dark=colours(dark=True),
        vega=_vega() if shown else "",
    )


def _shown(figure: Figure) -> Mapping[str, Any]:
    return {
        "title": figure.title,
        "about": dict(figure.about),
        "headings": figure.headings(),
        "rows": asdict(figure.height) if isinstance(figure.height, Rows) else None,
        "spec": figure.spec,
    }


def png(figure: Figure, width: int = 760, scale: float = 2) -> bytes:
    """Return a figure as PNG on a white ground, ``width`` pixels wide at ``scale`` 1."""
    config = {**theme(), "background": "white"}
    titled: Mapping[str, Any] = {**figure.spec, "width": width, "title": figure.title}
    return vl_convert.vegalite_to_png(
        solid(json.dumps(titled)), scale=scale, config=json.loads(solid(json.dumps(config)))
    )


@functools.cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that holds no end tag."""
    return re.sub(r"(?i)</(script)", r"<\\/\1", vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
