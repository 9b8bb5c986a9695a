"""The conformance suite of one cell: what is asked of every cell that rnnbench has, asked of anybody's.

Weights are those of ``rnnbench.measure.weights``; initial states are such as the cell reaches from zeros, since not
every cell is defined at others. What is asked of a layer and a problem (``agreement``, ``permuted``, ``joined``) takes
any: the tests ask it with weights and states of their own too.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod

import numpy as np

from rnnbench.engines import get_engine
from rnnbench.errors import RnnbenchError
from rnnbench.lang import CellSpec, Program
from rnnbench.lang.mistakes import line_with, mistake
from rnnbench.measure import tolerances
from rnnbench.measure.weights import draw
from rnnbench.nn.layer import DTYPES, Layer

Arrays = dict[str, np.ndarray]
Sizes = tuple[int, int, int, int]  # T, B, I, H

SMALL: Sizes = (4, 2, 3, 5)  # of the derivatives: a forward for every single number
USUAL: Sizes = (9, 6, 5, 19)
# One step, one sequence, one unit; units and rows that vectors and tiles do not divide; several panels.
ODD: tuple[Sizes, ...] = ((1, 1, 1, 1), (7, 1, 3, 5), (1, 13, 5, 15), (5, 3, 1, 33), (4, 2, 17, 1), (3, 35, 2, 70))
LONG: Sizes = (1000, 32, 16, 48)
COMPLEX_STEP = 1e-50  # its square is far below rounding, its products with weights far above underflow
# Differences over five points, exact to rounding divided by the step, with a factor of a hundred, and to the step's
# fourth power times a derivative of fifth order, which may be as large as 2e6.
STEP = 1e-4
DIFFERENCES = 100 * tolerances.epsilon("float64") / STEP
# The part of what a training forward keeps that the backward may add (rnnbench.engines.cpu.backward.CHUNK_SHARE), and
# a cache line for rows that would collide in a cache.
SAVED = 0.08


@dataclass(frozen=True)
class Finding:
    """One check of a cell: the largest error found, the bound that it must not exceed, and where it was found.

    Errors of numbers are in units of ``max(1, max|expected|)``; of counts, the number of violations; of bytes, a part
    of what was predicted.
    """

    check: str
    error: float
    bound: float
    where: str

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound; one that is no number is not."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Problem:
    """A sequence, an initial state and upstream gradients of the layer's dtype: x [T, B, I], dy [T, B, H], by name."""

    x: np.ndarray
    state: Arrays
    dy: np.ndarray
    dfinal: Arrays


def check_cell(spec: CellSpec) -> Iterator[Finding]:
    """Yield the findings on a cell, each as soon as it is made.

    The cpu engine is compiled for the cell, in float32 and float64. A cell whose numbers are not finite from a state
    of zeros is asked nothing further. Raises RnnbenchError where the cell cannot be made or the engine cannot run.
    """
    initial_values(spec)
    if not spec.hyper:  # with other hyper-parameters a cell may have other parameters
        yield names_of_init(spec)
    finite = finite_numbers(spec)
    yield finite
    if not finite.passed:
        return
    yield adjoint(spec)
    if spec.structures:
        yield structures(spec)
    for dtype in DTYPES:
        yield from engine(spec, dtype)
        yield permutation(spec, dtype)
        yield parts(spec, dtype)
    yield float64_operations(spec.program)
    yield saved_bytes(spec)


def fitting(spec: CellSpec, sizes: Sizes) -> Sizes:
    """Return ``sizes`` with I and H raised to the next that the structures of the cell's weights allow."""
    steps, batch, inputs, units = sizes
    for more in count():
        try:
            spec.param_count(inputs, units + more)
            return steps, batch, inputs, units + more
        except RnnbenchError:
            if more == 64:
                break
    for width in range(max(inputs, units), max(inputs, units) + 64):
        try:
            spec.param_count(width, width)
            return steps, batch, width, width
        except RnnbenchError:
            continue
    raise RnnbenchError(f"cell {spec.name}: no sizes near I={inputs}, H={units} suit the structures of its weights")


def pose(layer: Layer, steps: int, batch: int) -> Problem:
    """Return a problem for ``layer`` whose initial state is one that its weights lead to."""
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(layer.dtype)

    _, reached = exact_layer(layer).forward(rng.normal(size=(3, batch, layer.input_size)))
    state = {name: value.astype(layer.dtype) for name, value in reached.items()}
    dfinal = {name: normal(*layer.state_shape(name, batch)) for name in layer.states}
    return Problem(normal(steps, batch, layer.input_size), state, normal(steps, batch, layer.output_size), dfinal)


def exact_layer(layer: Layer) -> Layer:
    """Return the layer of the float64 reference with the same weights."""
    exact = Layer(layer.cell, layer.input_size, layer.hidden_size, engine="reference", dtype="float64")
    for name, array in layer.params.items():
        exact.params[name][...] = array
    return exact


def run(layer: Layer, problem: Problem) -> tuple[Arrays, Arrays]:
    """Return output and final states, of inference and of training, and all gradients, in the layer's dtype."""
    kind = layer.dtype
    state = {name: value.astype(kind) for name, value in problem.state.items()}
    dfinal = {name: value.astype(kind) for name, value in problem.dfinal.items()}
    values: Arrays = {}
    for training in (False, True):
        y, final = layer.forward(problem.x.astype(kind), state, training=training)
        values |= _named(y, final, "training" if training else "inference")
    return values, layer.backward(problem.dy.astype(kind), dfinal)


def _named(y: np.ndarray, final: Arrays, mode: str) -> Arrays:
    return {f"output in {mode}": y, **{f"final {name} in {mode}": value for name, value in final.items()}}


def _worst(check: str, bound: float, errors: Mapping[str, float]) -> Finding:
    """Return the finding on the largest of several errors; one that is no number counts as the largest."""
    where = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
    return Finding(check, float(errors[where]), float(bound), where)


def _nearest(findings: Sequence[Finding]) -> Finding:
    """Return the finding that is nearest to its bound, or beyond it."""
    return max(findings, key=lambda f: f.error / f.bound if f.passed else np.inf)


def _differences(check: str, bound: float, got: Arrays, expected: Arrays, prefix: str = "") -> Finding:
    assert got.keys() == expected.keys()
    return _worst(check, bound, {prefix + n: tolerances.error(got[n], expected[n]) for n in expected})


def initial_values(spec: CellSpec) -> None:
    """Draw the cell's initial values; raises RnnbenchError, with file and line, for what its ``init`` cannot be."""
    sizes = fitting(spec, SMALL)
    try:
        draw(spec, *sizes[2:], "reference", "float64")
    except RnnbenchError as error:
        code = spec.function.__code__  # type: ignore[attr-defined]
        raise mistake(spec.name, code, line_with(code, "init"), error) from error


def names_of_init(spec: CellSpec) -> Finding:
    """Look whether every key of the cell's ``init`` is a parameter that is trained, or a kind of them."""
    layer = draw(spec, *fitting(spec, SMALL)[2:], "reference", "float64")
    wrong = [key for key in spec.init if key not in layer.params and key not in ("W", "R", "b", "p")]
    return Finding("initialisers name parameters", len(wrong), 0, ", ".join(wrong) or f"{len(spec.init)} keys")


def finite_numbers(spec: CellSpec) -> Finding:
    """Count values of a run from a state of zeros, forward and backward, that are infinite or no numbers."""
    sizes = fitting(spec, SMALL)
    layer = draw(spec, *sizes[2:], "reference", "float64")
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):  # counted here instead
        y, final = layer.forward(rng.normal(size=sizes[:3]), training=True)
        gradients = {f"gradient of {name}": a for name, a in layer.backward(np.ones_like(y)).items()}
    found = _named(y, final, "training") | gradients
    counts = {name: float((~np.isfinite(a)).sum()) for name, a in found.items()}
    finding = _worst("finite from a state of zeros", 0, counts)
    return finding if finding.error else Finding(finding.check, 0, 0, f"{len(counts)} arrays")


def adjoint(spec: CellSpec) -> Finding:
    """Compare the reference's derived adjoint with complex steps through its forward, for every single number.

    Of parameters, inputs and initial states. Squire and Trapp 1998, doi:10.1137/S003614459631241X: df/dv is
    Im f(v + i e) / e, exact to rounding since nothing is subtracted. The forward alone is run, so that no rule of
    differentiation has a part in it.
    """
    sizes = fitting(spec, SMALL)
    layer = draw(spec, *sizes[2:], "reference", "float64")
    problem = pose(layer, *sizes[:2])
    kernel = get_engine("reference").prepare(layer.program, "float64", *sizes[2:], None, None)
    layer.forward(problem.x)  # forms the structured weights
    kernel.forward(layer.weights, problem.x, problem.state, True, False)
    got = kernel.backward(layer.weights, problem.x, problem.dy, problem.dfinal)
    variables = {n: a.astype(complex) for n, a in {**layer.weights, "x": problem.x, **problem.state}.items()}

    def objective() -> complex:
        state = {name: variables[name] for name in problem.state}
        y, final = kernel.forward({n: variables[n] for n in layer.weights}, variables["x"], state, False, False)
        return np.sum(problem.dy * y) + sum(np.sum(problem.dfinal[name] * final[name]) for name in final)

    expected = {name: np.empty(array.shape) for name, array in variables.items()}
    for name, array in variables.items():
        for index in np.ndindex(array.shape):
            array[index] += COMPLEX_STEP * 1j
            expected[name][index] = objective().imag / COMPLEX_STEP
            array[index] = np.real(array[index])
    bound = tolerances.backward("float64", sizes)
    return _differences("adjoint = complex step", bound, got, expected, "gradient of ")


def structures(spec: CellSpec) -> Finding:
    """Compare gradients of what is trained in place of structured weights with differences over five points."""
    sizes = fitting(spec, SMALL)
    layer = draw(spec, *sizes[2:], "reference", "float64")
    problem = pose(layer, *sizes[:2])
    _, grads = run(layer, problem)
    free = {n: a for n, a in layer.params.items() if layer.weights.get(n) is not a}
    if not free:
        return Finding("structures of weights: nothing is trained in their place", 0, 0, "")

    def objective() -> float:
        y, final = layer.forward(problem.x, problem.state)
        return float(np.sum(problem.dy * y) + sum(np.sum(problem.dfinal[name] * final[name]) for name in final))

    expected = {name: np.empty(array.shape) for name, array in free.items()}
    for name, array in free.items():
        for index in np.ndindex(array.shape):
            expected[name][index] = _slope(objective, array, index)
    got = {name: grads[name] for name in free}
    return _differences("structures of weights = differences", DIFFERENCES, got, expected, "gradient of ")


def _slope(objective: Callable[[], float], array: np.ndarray, index: tuple[int, ...]) -> float:
    """Return the derivative by one entry of an array."""
    value, total = array[index], 0.0
    for offset, weight in ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0)):
        array[index] = value + offset * STEP
        total += weight * objective()
    array[index] = value
    return total / (12.0 * STEP)


def engine(spec: CellSpec, dtype: str) -> tuple[Finding, Finding]:
    """Compare the cpu engine with the float64 reference at odd sizes: outputs and final states, and gradients."""
    forward, gradients = [], []
    for wanted in (*ODD, USUAL):
        sizes = fitting(spec, wanted)
        layer = draw(spec, *sizes[2:], "cpu", dtype)
        found = agreement(layer, pose(layer, *sizes[:2]))
        forward.append(found[0])
        gradients.append(found[1])
    return _nearest(forward), _nearest(gradients)


def permutation(spec: CellSpec, dtype: str) -> Finding:
    """Compare a run of the cpu engine with that of the same sequences in another order."""
    return permuted(*_usual(spec, dtype))


def parts(spec: CellSpec, dtype: str) -> Finding:
    """Compare a run of the cpu engine over T = a + b steps with one over a and one over b."""
    return joined(*_usual(spec, dtype), 4)


def _usual(spec: CellSpec, dtype: str) -> tuple[Layer, Problem]:
    sizes = fitting(spec, USUAL)
    layer = draw(spec, *sizes[2:], "cpu", dtype)
    return layer, pose(layer, *sizes[:2])


def agreement(layer: Layer, problem: Problem) -> tuple[Finding, Finding]:
    """Compare a layer with the float64 reference: outputs and final states, and gradients.

    A result of another dtype than the layer's is infinitely far off.
    """
    sizes, kind = sizes_of(layer, problem), layer.dtype.name
    checks = (f"{layer.engine} {kind} = reference, forward", f"{layer.engine} {kind} = reference, gradients")
    bounds = (tolerances.forward(kind, sizes), tolerances.backward(kind, sizes))
    at = "T={} B={} I={} H={}: ".format(*sizes)
    (values, grads), (exact_values, exact_grads) = run(layer, problem), run(exact_layer(layer), problem)
    for found in (values, grads):
        found |= {name: np.full_like(a, np.inf) for name, a in found.items() if a.dtype != layer.dtype}
    forward = _differences(checks[0], bounds[0], values, exact_values, at)
    return forward, _differences(checks[1], bounds[1], grads, exact_grads, f"{at}gradient of ")


def permuted(layer: Layer, problem: Problem) -> Finding:
    """Compare a run of a layer with that of the same sequences in another order."""
    order = np.random.default_rng(2).permutation(problem.x.shape[1])
    moved = Problem(
        problem.x[:, order], {n: a[order] for n, a in problem.state.items()},
        problem.dy[:, order], {n: a[order] for n, a in problem.dfinal.items()},
    )  # fmt: skip
    (values, grads), (moved_values, moved_grads) = run(layer, problem), run(layer, moved)
    values = {n: a[:, order] if n.startswith("output") else a[order] for n, a in values.items()}
    grads |= {"x": grads["x"][:, order], **{n: grads[n][order] for n in layer.states}}
    return _both("batch permuted", layer, problem, (moved_values, moved_grads), (values, grads))


def joined(layer: Layer, whole: Problem, cut: int) -> Finding:
    """Compare a run of a layer over all steps with one over the first ``cut`` and one over the others."""
    values, grads = run(layer, whole)
    _, between = layer.forward(whole.x[:cut], whole.state)
    late_values, late = run(layer, Problem(whole.x[cut:], between, whole.dy[cut:], whole.dfinal))
    upstream = {name: late[name] for name in layer.states}
    early_values, early = run(layer, Problem(whole.x[:cut], whole.state, whole.dy[:cut], upstream))
    for name in ("output in inference", "output in training"):
        late_values[name] = np.concatenate([early_values[name], late_values[name]])
    sums = {name: early[name] + late[name] for name in layer.params}
    sums |= {"x": np.concatenate([early["x"], late["x"]]), **{name: early[name] for name in layer.states}}
    return _both("T = a + b", layer, whole, (late_values, sums), (values, grads))


def sizes_of(layer: Layer, problem: Problem) -> Sizes:
    """Return the sizes (T, B, I, H) of a problem for a layer."""
    return problem.x.shape[0], problem.x.shape[1], layer.input_size, layer.hidden_size


def _both(
    law: str, layer: Layer, problem: Problem, got: tuple[Arrays, Arrays], expected: tuple[Arrays, Arrays]
) -> Finding:
    kind, sizes = layer.dtype.name, sizes_of(layer, problem)
    check = f"{layer.engine} {kind}: {law}"
    forward = _differences(check, tolerances.forward(kind, sizes), got[0], expected[0])
    backward = _differences(check, tolerances.backward(kind, sizes), got[1], expected[1], "gradient of ")
    return _nearest([forward, backward])


def float64_operations(program: Program) -> Finding:
    """Count the instructions on float64 in the optimised LLVM of the cell's float32 kernels."""
    from rnnbench.engines.cpu.cache import cell_kernels

    kernels = {n: k for n, k in vars(cell_kernels(program, "float32")).items() if type(k).__name__ == "Kernel"}
    lines = [line for name, kernel in kernels.items() for line in str(kernel.module(name)).splitlines()]
    # A global string or a declared but unused helper is no operation: look at instructions only.
    instructions = [line for line in lines if re.match(r"\s+(%\S+ = |store |call |ret )", line)]
    double = [line for line in instructions if re.search(r"\bdouble\b", line)]
    where = double[0].strip() if double else f"{len(instructions)} instructions in {len(kernels)} kernels"
    return Finding("float64 operations in float32 kernels", len(double), 0, where)


def saved_bytes(spec: CellSpec) -> Finding:
    """Compare the memory by which training grows per step with the states and saved values that were derived."""
    from rnnbench.engines.cpu.form import chunk_steps, least_steps
    from rnnbench.engines.cpu.host import host
    from rnnbench.engines.cpu.memory import padded
    from rnnbench.lang.chunks import in_chunks

    steps, batch, inputs, units = fitting(spec, LONG)
    layer = Layer(spec, inputs, units, engine="cpu", threads=1)
    lanes, program = host().lanes(4), layer.program
    found = in_chunks(program)
    # In chunks, the matrix is kept at the beginning of every one.
    if isinstance(found, str) or steps < least_steps(program, units):
        around, each = program, 1
    else:
        around, each = found[0], chunk_steps(units // found[1].heads)
    kept = [padded(prod(program.state_shape(s, units)), lanes) for s in around.states if s not in program.matrices]
    kept += [padded(around.node_size(node, units), lanes) for node in around.adjoint.saved]
    matrix = sum(padded(prod(program.state_shape(s, units)), lanes) for s in program.matrices)
    predicted = steps * batch * 4 * (sum(kept) + matrix / each)
    grown = layer.workspace_bytes(2 * steps, batch, True) - layer.workspace_bytes(steps, batch, True)
    where = f"{len(kept)} vectors a step and sequence: {predicted:,.0f} bytes predicted, {grown:,} held"
    return Finding("bytes saved by training as predicted", abs(grown / predicted - 1.0), SAVED, where)
