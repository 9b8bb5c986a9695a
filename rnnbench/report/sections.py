"""The sections of the report, in the order in which it shows them; those without figures and tables are left out."""

from rnnbench.report import (
    figures,
    history,
    roofline,
    speed_figures,
    speed_tables,
    tables,
)
from rnnbench.report.across_tasks import across_tasks
from rnnbench.report.attention import attention_section
from rnnbench.report.gradient_figures import gradient_figures
from rnnbench.report.gradients import gradient_table
from rnnbench.report.horizon import horizon_section
from rnnbench.report.search import search_section
from rnnbench.report.section import Evidence, Section, SectionMaker, some


def remember(evidence: Evidence) -> Section:
    """Return how scores fall as sequences grow."""
    drawn = figures.score_against_length(evidence.records, evidence.palette)
    return Section("remember", "How long cells remember", figures=drawn)


def learning(evidence: Evidence) -> Section:
    """Return the learning curves."""
    return Section("learning", "Learning curves", figures=figures.learning_curves(evidence.records, evidence.palette))


def gradients(evidence: Evidence) -> Section:
    """Return how far gradients reach back."""
    drawn = gradient_figures(evidence.records, evidence.palette)
    return Section("gradients", "Gradient flow", figures=drawn, tables=some(gradient_table(evidence.records)))


def speed(evidence: Evidence) -> Section:
    """Return time per step against both sizes that it depends on."""
    drawn = [
        figure for size in ("H", "T") for figure in figures.time_per_step(evidence.records, size, evidence.palette)
    ]
    return Section("speed", "Speed", figures=drawn)


def against(evidence: Evidence) -> Section:
    """Return the rows of ``rnnbench speed``."""
    drawn = speed_figures.against_best_peer(evidence.records, evidence.palette)
    drawn += roofline.rooflines(evidence.records, evidence.palette)
    return Section("against", "Speed, row by row", figures=drawn, tables=speed_tables.speed_tables(evidence.records))


def peers(evidence: Evidence) -> Section:
    """Return the paired comparisons with other libraries."""
    drawn = figures.speed_up(evidence.records, evidence.palette)
    return Section(
        "peers", "Against other libraries", figures=drawn, tables=some(tables.speedup_table(evidence.records))
    )


def space(evidence: Evidence) -> Section:
    """Return the memory of a training step."""
    return Section("space", "Memory", figures=figures.memory(evidence.records, evidence.palette))


def compiling(evidence: Evidence) -> Section:
    """Return what a new cell costs before its first result."""
    return Section("compiling", "Compiling", tables=some(tables.compile_table(evidence.records)))


def over_commits(evidence: Evidence) -> Section:
    """Return asv's benchmarks over commits."""
    return Section(
        "history",
        "History over commits",
        figures=history.figures(evidence.history, evidence.palette),
        tables=some(history.changes_table(evidence.history)),
    )


def raw(evidence: Evidence) -> Section:
    """Return the measurements behind all figures."""
    latest = some(history.latest_table(evidence.history))
    return Section("raw", "All measurements", tables=tables.raw_tables(evidence.records) + latest)


SECTIONS: tuple[SectionMaker, ...] = (
    against,
    horizon_section,
    remember,
    across_tasks,
    learning,
    search_section,
    gradients,
    attention_section,
    speed,
    peers,
    space,
    compiling,
    over_commits,
    raw,
)


def make_sections(evidence: Evidence) -> list[Section]:
    """Return the sections that have something to show."""
    return [section for section in (make(evidence) for make in SECTIONS) if not section.empty]
