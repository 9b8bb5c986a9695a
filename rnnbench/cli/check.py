"""The command ``check``: what is derived from a cell's equations, and whether all of it is right."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli.show import Hidden, Input
from rnnbench.cli.text import Json, console, print_json, tell
from rnnbench.errors import positive

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.lang import CellSpec
    from rnnbench.measure.conformance import Finding


def check(
    cell: Annotated[str, typer.Argument(help="path/to/file.py:name of a cell of your own, or a cell's name.")],
    hidden: Hidden = 128,
    input_size: Input = 128,
    as_json: Json = False,
) -> None:
    """Show what was derived from a cell and run the conformance suite on it; exit code 1 where a check fails."""
    from rnnbench.cells import get_cell
    from rnnbench.measure.conformance import check_cell

    hidden, input_size = positive("--hidden", hidden), positive("--input", input_size)
    spec = get_cell(cell)
    derived = derivation(spec, input_size, hidden)
    out = console()
    if not as_json:
        _print_derivation(out, derived)
        out.print("\n[bold]Checks[/bold]: largest error, bound, and where", highlight=False)
    findings = []
    for finding in check_cell(spec):
        findings.append(finding)
        if not as_json:
            tell(out, _line(finding))
    failed = sum(not finding.passed for finding in findings)
    if as_json:
        checks = [_as_json(finding) for finding in findings]
        print_json({"cell": spec.name, "passed": not failed, "derived": derived, "checks": checks})
    else:
        tell(out, f"\n{failed} of {len(findings)} checks failed" if failed else f"\nall {len(findings)} checks passed")
    if failed:
        raise typer.Exit(1)


def derivation(spec: "CellSpec", input_size: int, hidden: int) -> dict[str, Any]:
    """Return what the trace found: counts are of one step of one sequence at I and H, in float32."""
    from rnnbench.lang.chunks import class_in_words
    from rnnbench.lang.tiles import saved_names
    from rnnbench.lang.weights import declared

    program = spec.program
    return {
        "name": spec.name,
        "states": list(spec.states),
        "output": spec.output,
        "recurrence": class_in_words(program),
        "smooth": program.smooth,
        "hyper_parameters": spec.hyper,
        "sizes": {"I": input_size, "H": hidden},
        "stages": _stages(spec),
        "saved": list(saved_names(program).values()),
        "parameters": {name: list(program.shape(name, input_size, hidden)) for name in spec.params},
        "trained_values": spec.param_count(input_size, hidden),
        "structures": [str(structure) for structure in declared(spec.structures, spec.params, spec.hyper)],
        "flops": spec.flops_per_step(input_size, hidden),
        "flops_with_pointwise": spec.flops_per_step(input_size, hidden, pointwise=True),
        "bytes": spec.bytes_per_step(input_size, hidden),
        "bytes_training": spec.bytes_per_step(input_size, hidden, training=True),
        "equations": spec.equations(),
        "latex": spec.latex(),
    }


def _stages(spec: "CellSpec") -> list[dict[str, Any]]:
    from rnnbench.lang.ops import Affine

    def names(value: object, operation: str) -> list[str]:
        """Return a pre-activation's matrices, or what else reads other units: a sum, a read of a matrix state."""
        return [f"R.{matrix}" for matrix in value.matrices] if isinstance(value, Affine) else [operation]

    return [
        {
            "products": [name for node in stage.products for name in names(node.value, node.op.name)],
            "pointwise": sum(node.op.flops for node in stage.nodes),
        }
        for stage in spec.program.stages
    ]


def _print_derivation(out: "Console", derived: dict[str, Any]) -> None:
    out.print(f"[bold]{derived['name']}[/bold]", highlight=False)
    for title, lines in (("Equations", derived["equations"]), ("LaTeX", derived["latex"])):
        out.print(f"\n[bold]{title}[/bold]", highlight=False)
        for line in lines:
            tell(out, f"  {line}")
    sizes = "I={I}, H={H}".format(**derived["sizes"])
    out.print(f"\n[bold]Derived[/bold], per step of one sequence at {sizes} in float32", highlight=False)
    for name, value in _facts(derived).items():
        tell(out, f"  {name:<17} {value}")


def _facts(derived: dict[str, Any]) -> dict[str, str]:
    stages = []
    for stage in derived["stages"]:
        products = f"{' '.join(stage['products'])}, then " if stage["products"] else ""
        stages.append(f"{products}{stage['pointwise']} pointwise operations per unit")
    hyper = ", ".join(f"{name}={value:g}" for name, value in derived["hyper_parameters"].items())
    return {
        "states": f"{' '.join(derived['states'])}; the output is {derived['output']}",
        "class": f"{derived['recurrence']}, {'smooth' if derived['smooth'] else 'with kinks'}",
        "stages": "; ".join(stages),
        "saved": f"{' '.join(derived['saved']) or 'nothing'}, besides the states, for each step of training",
        "parameters": "  ".join(f"{name} {shape}" for name, shape in derived["parameters"].items()) or "none",
        "trained values": f"{derived['trained_values']:,}",
        "structures": "; ".join(derived["structures"]) or "none",
        "FLOPs": f"{derived['flops']:,} in products, {derived['flops_with_pointwise']:,} in all, forward",
        "bytes": f"{derived['bytes']:,} moved by the forward, {derived['bytes_training']:,} in training",
        "hyper-parameters": hyper or "none",
    }


def _line(finding: "Finding") -> str:
    verdict = "pass" if finding.passed else "FAIL"
    return f"  {verdict}  {finding.check:<42} {finding.error:8.1e} {finding.bound:8.1e}  {finding.where}".rstrip()


def _as_json(finding: "Finding") -> dict[str, Any]:
    """Return the finding as JSON has it: an error that is no number, or infinite, is null."""
    from math import isfinite

    error = finding.error if isfinite(finding.error) else None
    return {
        "check": finding.check,
        "passed": finding.passed,
        "error": error,
        "bound": finding.bound,
        "where": finding.where,
    }
