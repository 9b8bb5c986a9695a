"""``python -m benchmarks.gpu [--out FILE] [--minutes M]``: what the CUDA engines reach on this machine's GPU.

First the limits: a barrier among all multiprocessors, copies, multiply-adds and tensor products. Then each row of
``ROWS``: checked against the float64 reference, and timed beside cuDNN (through torch, where that is installed) by
events on the device, warm, samples of the contenders in turn. Times are of everything on the device: input products,
the time loop, gradients; weights and inputs lie there. Rows that the minutes do not suffice for are said to be missing.
The file gets one record with all raw samples; a short table is printed last. Without a GPU it says so in one sentence.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench import Layer, RnnbenchError, engines, get_cell
from rnnbench.engines.cuda import driver
from rnnbench.measure import tolerances
from rnnbench.measure.record import new_record

SAMPLES = 20
CHECKED_STEPS = 8
# Published on one H100, T=1024, B=16, H=768, forward and forward+backward in milliseconds (FlashRNN, arXiv:2412.07752).
PUBLISHED = {"FlashRNN fused, bf16": (4.87, 13.61), "cuDNN, fp16": (2.01, 5.19), "Haste, fp32": (18.4, 43.9)}

Run = Callable[[], None]


@dataclass(frozen=True)
class Row:
    """One cell at ``sizes`` (T, B, I, H), and what it must reach.

    ``goal`` is a kind and a number: "ms" at most so many milliseconds; "cudnn" at least so many times cuDNN's speed;
    "steps" at least so many times that of engine cuda_steps; "per_gate" at most so many times the LSTM's time per gate
    at the same sizes; "us_per_step"; "bandwidth" at least this share of the copy rate, of the time loop alone.
    """

    cell: str
    sizes: tuple[int, int, int, int]
    mode: str
    goal: tuple[str, float]
    precision: str | None = None
    cudnn: str | None = None  # the dtype that cuDNN runs it in
    heads: int | None = None  # of matrix states, or blocks on the diagonal of recurrent matrices

    def layer(self, engine: str, **options: Any) -> Layer:
        """Return a layer of this row; its recurrent matrices are block-diagonal where the cell has no heads itself."""
        _, _, I, H = self.sizes  # noqa: E741 - the legend's letters
        if self.heads is not None:
            has_heads = "heads" in get_cell(self.cell).program.hyper
            options |= {"heads": self.heads} if has_heads else {"structures": {"R": f"block_diagonal({self.heads})"}}
        return Layer(self.cell, I, H, engine=engine, seed=1, **options)


LONG = (1024, 16, 768, 768)
SMALL = [(1000, batch, hidden, hidden) for hidden in (64, 128, 192) for batch in (1, 16, 64)]
ROWS = (
    Row("lstm", LONG, "forward", ("ms", 4.87 / 2), "bfloat16", "float16"),
    Row("lstm", LONG, "training", ("ms", 13.61 / 2), "bfloat16", "float16"),
    *(
        Row(cell, (256, 32, hidden, hidden), mode, ("cudnn", 1.5), None, "float32")
        for hidden in (256, 512, 1024)
        for cell in ("lstm", "gru")
        for mode in ("forward", "training")
    ),
    *(
        Row(cell, LONG, "forward", ("per_gate", 1.3), "bfloat16")
        for cell in ("gru", "mgu", "lstm_peephole", "lem", "slstm")
    ),
    *(Row("lstm", sizes, "forward", ("us_per_step", 2.0)) for sizes in SMALL),
    *(Row(cell, (512, 64, 1, 1024), "forward", ("bandwidth", 0.8)) for cell in ("min_gru", "indrnn")),
    # Sums over units, another size, heads with a block each: of matrix states, and of recurrent matrices.
    *(
        Row(cell, (256, 32, 256, 256), "training", ("steps", 1.5), None, None, heads)
        for cell, heads in (("lstm_layernorm", None), ("lstm_projected", None), ("mlstm", 4), ("delta_net", 4))
    ),
    Row("slstm", LONG, "forward", ("per_gate", 1.0), "bfloat16", None, 4),
    Row("lstm", LONG, "forward", ("cudnn", 1.0), "tf32", "float16"),
    Row("lstm", LONG, "forward", ("cudnn", 1.0), "float16", "float16"),
)


def seconds(run: Run, stream: Any) -> float:
    """Return the seconds that the device takes for what ``run`` starts on ``stream``."""
    from numba import cuda

    begin, end = cuda.event(timing=True), cuda.event(timing=True)
    begin.record(stream)
    run()
    end.record(stream)
    end.synchronize()
    return cuda.event_elapsed_time(begin, end) / 1e3


def interleaved(contenders: dict[str, tuple[Run, Any]]) -> dict[str, list[float]]:
    """Return SAMPLES samples of each contender, (what it starts, its stream), taken in turn after three runs each."""
    for run, stream in contenders.values():
        for _ in range(3):
            seconds(run, stream)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(SAMPLES):
        for name, (run, stream) in contenders.items():
            found[name].append(seconds(run, stream))
    return found


def limits() -> dict[str, Any]:
    """Return the samples of what the device can do: seconds of a barrier, bytes and operations a second."""
    from numba import cuda

    from rnnbench.engines.cuda.persistent_loop import make_ready
    from rnnbench.engines.cuda.products import launch
    from rnnbench.engines.cuda.source import shared_module

    kernels = shared_module("float32", "limits")
    device = cuda.get_current_device()
    processors, threads, rounds = device.MULTIPROCESSOR_COUNT, 128, 2000
    stream = cuda.stream()
    counters = cuda.to_device(np.zeros(16, np.int64))
    make_ready(kernels.meet, [counters, rounds], processors, threads, 0)
    meet = launch(kernels.meet, (processors, 1), threads, stream)
    megabytes = 1024
    source = cuda.to_device(np.ones(megabytes << 18, np.float32))
    target = cuda.device_array_like(source)
    copy = launch(kernels.copy, 32 * processors, 512, stream)
    blocks = 8 * processors
    values = cuda.to_device(np.full(blocks * 256, 1e-3, np.float32))
    halves = cuda.to_device(np.zeros(blocks * 256 * 8, np.uint16))
    add = launch(kernels.multiply_adds, blocks, 256, stream)
    tensor = launch(kernels.tensor_products, blocks, 256, stream)
    turns = 4096
    samples = interleaved(
        {
            "barrier": (lambda: meet(counters, rounds), stream),
            "copy": (lambda: copy(source, target), stream),
            "float32": (lambda: add(values, turns), stream),
            "bfloat16": (lambda: tensor(halves, values, turns), stream),
        }
    )
    adds = 2 * kernels.CHAINS * kernels.UNROLLED * turns * blocks * 256
    products = 2 * 16 * 8 * 32 * kernels.TILES * turns * blocks * 8
    middle = {name: statistics.median(values) for name, values in samples.items()}
    return {
        "barrier_seconds": middle["barrier"] / rounds,
        "copy_bytes_per_second": 2 * source.nbytes / middle["copy"],
        "float32_flops_per_second": adds / middle["float32"],
        "bfloat16_flops_per_second": products / middle["bfloat16"],
        "samples": samples,
    }


def check(row: Row) -> float:
    """Return the largest error of a short sequence in units of what is allowed; raises RnnbenchError above 1."""
    _, B, I, H = row.sizes  # noqa: E741 - the legend's letters
    layer = row.layer("cuda", precision=row.precision)
    reference = row.layer("reference", dtype="float64")
    for name, array in layer.params.items():
        if name[0] in "Rp":
            array *= np.float32(0.5)  # so that the recurrence does not expand, and errors with it
        reference.params[name][...] = array
    rng = np.random.default_rng(0)
    x = rng.normal(size=(CHECKED_STEPS, B, I)).astype("float32")
    dy = rng.normal(size=(CHECKED_STEPS, B, layer.output_size)).astype("float32")
    training = row.mode == "training"
    got: dict[str, np.ndarray] = {"y": layer.forward(x, training=training)[0]}
    expected = {"y": reference.forward(x.astype(float), training=training)[0]}
    if training:
        got |= layer.backward(dy)
        expected |= reference.backward(dy.astype(float))
    sizes = (CHECKED_STEPS, B, I, H)
    if row.precision:
        allowed = tolerances.rounded_forward(row.precision, sizes), tolerances.rounded_backward(row.precision, sizes)
    else:
        allowed = tolerances.forward("float32", sizes), tolerances.backward("float32", sizes)
    worst = max(tolerances.error(got[n], e) / allowed[n != "y"] for n, e in expected.items())
    if not worst <= 1:
        raise RnnbenchError(f"{row.cell} disagrees with the reference: {worst:.1f} times what is allowed, not timed")
    return worst


def ours(row: Row, engine: str = "cuda") -> tuple[Run, Any]:
    """Return what runs a row on the device, once its layer has been called: the stages of a call without its copies."""
    from numba import cuda

    T, B, I, _ = row.sizes  # noqa: E741 - the legend's letters
    layer = row.layer(engine, precision=row.precision)
    rng = np.random.default_rng(0)
    x = cuda.to_device(rng.normal(size=(T, B, I)).astype("float32"))
    kernel: Any = layer._kernel
    memories: list[Any] = []
    loop, outside, do = kernel.loop, kernel._outside, kernel._do
    run_steps = loop.forward

    def seen(memory: Any, start: int, steps: int) -> None:
        memories.append(memory)
        run_steps(memory, start, steps)

    loop.forward = seen
    layer.forward(x, training=row.mode == "training")
    loop.forward = run_steps
    [memory] = memories  # all steps are run at once
    if row.mode == "training":
        layer.backward(cuda.to_device(rng.normal(size=(T, B, layer.output_size)).astype("float32")))

    def forward() -> None:
        do.repeat(memory.flat["biases"], memory.flat["slots"], memory.stream)
        outside.project(memory, 0, T)
        loop.forward(memory, 0, T)

    def training() -> None:
        forward()
        loop.backward(memory)
        outside.gradients(memory)

    def alone() -> None:
        loop.forward(memory, 0, T)

    if row.goal[0] == "bandwidth":
        return alone, memory.stream
    return (training if row.mode == "training" else forward), memory.stream


def cudnn(row: Row) -> tuple[Run, Any] | None:
    """Return what runs a row in cuDNN, or None where torch with a GPU is not installed."""
    try:
        import torch
    except ImportError:
        return None
    if row.cudnn is None or not torch.cuda.is_available():
        return None
    from numba import cuda

    T, B, I, H = row.sizes  # noqa: E741 - the legend's letters
    dtype = getattr(torch, row.cudnn)
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[row.cell](I, H, device="cuda", dtype=dtype)
    training = row.mode == "training"
    x = torch.randn(T, B, I, device="cuda", dtype=dtype, requires_grad=training)
    dy = torch.randn(T, B, H, device="cuda", dtype=dtype)

    def forward() -> None:
        with torch.no_grad():
            module(x)

    def step() -> None:
        module(x)[0].backward(dy)

    stream = cuda.external_stream(torch.cuda.current_stream().cuda_stream)
    return (step if training else forward), stream


def bound(row: Row, known: dict[str, Any]) -> float:
    """Return the least seconds of the time loop: T times the longer of computing and moving, and its barriers."""
    from rnnbench.lang.exchange import exchange

    T, B, I, H = row.sizes  # noqa: E741 - the legend's letters
    program, training = row.layer("reference").program, row.mode == "training"
    peak = known["bfloat16_flops_per_second" if row.precision else "float32_flops_per_second"]
    moved = B * program.bytes_per_step(I, H, 4, training) / known["copy_bytes_per_second"]
    computed = B * program.flops_per_step(I, H) * (3 if training else 1) / peak
    kinds = ("training", "backward") if training else ("forward",)
    meets = sum(len(exchange(program, kind).barriers) for kind in kinds)
    return T * (max(moved, computed) + meets * known["barrier_seconds"])


def reached(row: Row, median: float, peer: float | None, known: dict[str, Any], per_gate: float | None) -> float | None:
    """Return the number that a row's goal is about, or None where what it needs was not measured."""
    kind, _ = row.goal
    T, B, _, H = row.sizes
    program = get_cell(row.cell).program
    if kind == "ms":
        return median * 1e3
    if kind == "us_per_step":
        return median / T * 1e6
    if kind in ("cudnn", "steps"):
        return None if peer is None else peer / median
    if kind == "per_gate":
        return None if per_gate is None else median / program.gates / per_gate
    slots = len(program.affines)
    return 4 * T * B * H * (slots + 1) / median / known["copy_bytes_per_second"]


def is_met(row: Row, value: float | None) -> str:
    """Return "yes", "no", or "not measured"."""
    if value is None:
        return "not measured"
    kind, wanted = row.goal
    return "yes" if (value >= wanted if kind in ("cudnn", "steps", "bandwidth") else value <= wanted) else "no"


def shown(row: Row) -> dict[str, Any]:
    """Return what a row asks, as it is in the record."""
    asked = {"cell": row.cell, "sizes": row.sizes, "mode": row.mode, "goal": row.goal}
    return asked | {"precision": row.precision or "float32", "heads": row.heads}


def measured(row: Row, known: dict[str, Any], per_gate: float | None) -> dict[str, Any]:
    """Return the record of one row."""
    found: dict[str, Any] = shown(row) | {"error": check(row)}
    contenders = {"rnnbench": ours(row)}
    peer = cudnn(row)
    if peer is not None:
        contenders[f"cudnn {row.cudnn}"] = peer
    if row.goal[0] == "steps":
        contenders["cuda_steps"] = ours(row, "cuda_steps")
    samples = interleaved(contenders)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    other = next((m for name, m in medians.items() if name != "rnnbench"), None)
    value = reached(row, medians["rnnbench"], other, known, per_gate)
    return found | {
        "samples": samples, "medians": medians, "value": value, "met": is_met(row, value),
        "of_bound": bound(row, known) / medians["rnnbench"],
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as lines of text."""
    heads = ("cell", 14), ("T,B,I,H", 20), ("mode", 8), ("precision", 9)
    numbers = ("ms", 8), ("peer ms", 9), ("of bound", 8), ("goal", 18), ("found", 7)
    head = [f"{name:{width}}" for name, width in heads] + [f"{name:>{width}}" for name, width in numbers]
    lines = [" ".join([*head, "met"])]
    for row in rows:
        sizes, goal = ",".join(map(str, row["sizes"])), f"{row['goal'][0]} {row['goal'][1]:.2f}"
        start = f"{row['cell']:14} {sizes:20} {row['mode']:8} {row['precision']:9}"
        if "failed" in row:
            lines.append(f"{start} {row['failed']}")
            continue
        ms = row["medians"]["rnnbench"] * 1e3
        peers = [f"{m * 1e3:.3f}" for name, m in row["medians"].items() if name != "rnnbench"]
        value = "-" if row["value"] is None else f"{row['value']:.2f}"
        lines.append(
            f"{start} {ms:8.3f} {(peers or ['-'])[0]:>9} {row['of_bound']:8.0%} {goal:>18} {value:>7} {row['met']}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run all, write the record, print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.5, help="no row begins later (9 minutes is all there is)")
    asked = parser.parse_args(arguments)
    reason = engines()["cuda"]
    if reason is None and driver.simulated():
        reason = "the simulator's times say nothing about a GPU"
    if reason is not None:
        print(f"No GPU is measured here: {reason}.", file=sys.stderr)
        return 1
    warnings.filterwarnings("ignore", message="Grid size .* will likely result in GPU under-utilization")
    end = time.monotonic() + asked.minutes * 60
    from rnnbench.engines.cuda.arrays import told

    device = driver.find_device()
    name = "GPU" if isinstance(device, str) else device.name
    known, rows = limits(), []
    per_gate = None
    for row in ROWS:
        if time.monotonic() > end:
            rows.append({**shown(row), "failed": "not measured: the time was over"})
            continue
        try:
            with told():
                rows.append(measured(row, known, per_gate))
        except RnnbenchError as error:
            rows.append({**shown(row), "failed": str(error)})
            continue
        if row == ROWS[0]:
            per_gate = rows[0]["medians"]["rnnbench"] / get_cell("lstm").program.gates
        # What is measured is on file even if a later row ends the process.
        asked.out.write_text(json.dumps(new_record("gpu", {"device": name}, {"limits": known, "rows": rows}), indent=1))
    asked.out.write_text(json.dumps(new_record("gpu", {"device": name}, {"limits": known, "rows": rows}), indent=1))
    rates = ("copy_bytes", "float32_flops", "bfloat16_flops")
    copied, multiplied, tensors = (known[f"{rate}_per_second"] / 1e12 for rate in rates)
    print(f"{name}: a barrier takes {known['barrier_seconds'] * 1e6:.2f} us; {copied:.2f} TB/s copied, ", end="")
    print(f"{multiplied:.1f} TFLOP/s in float32, {tensors:.0f} in bfloat16.")
    print(table(rows))
    published = "; ".join(f"{who} {forward} / {both}" for who, (forward, both) in PUBLISHED.items())
    print(f"Published on an H100 for LSTM 1024,16,768,768, forward / with backward, ms: {published}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
