"""How often `rnnbench ci` is right: pairs of commits of which it is known what changed.

    python -m benchmarks.ci_validation
    python -m benchmarks.ci_validation --plants unchanged,slower --folder reports/ci_validation

The working tree is copied into a repository of its own, whose later commits plant one change each into the package (see
PLANTS). Every pair is a new commit that is built and measured by the command itself, in a process of its own, kinds of
pairs in turns. Each ends as a line of ``pairs.jsonl`` in the folder: the same command goes on where it was stopped. At
the end, or with ``--table`` at once, it prints a table for docs/ci.md.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A time, a memory and an error: of the suite what a plant can show in, small enough for many pairs. Plants that make
# no kernel slower are measured by the last two; a kernel that is wrong is not timed anyway.
BENCHMARKS = (
    r"speed\.Forward\.time_forward\('lstm', '100x32x32x64'\)",
    r"memory\.Workspace\.track_workspace\('lstm', 'training'",
    r"error\.Rounding\.track_rounding\('lstm'",
)
# Pairs that are measured one after the other have the same two commits, which are built once for them.
TOGETHER = 5
LONG_RANGE = r"error\.LongRange\.track_error\('lstm', 'temporal_order_3', 20\)"


@dataclass(frozen=True)
class Plant:
    """A change of one file, what shows it, and how many pairs are measured."""

    what: str
    shows_in: str
    file: str = ""
    old: str = ""
    new: str = ""
    pairs: int = 5
    benchmarks: tuple[str, ...] = BENCHMARKS


PLANTS = {
    "unchanged": Plant("a note, and nothing that runs", "", pairs=20, benchmarks=BENCHMARKS[:1]),
    "slower": Plant(
        "the inference tile of the LSTM computes tanh two times more for every unit",
        "speed.Forward",
        "rnnbench/lang/emit.py",
        '    lines.append(wrapped("    return ", "(", returned, ")"))\n',
        '    if program.name == "lstm" and tile.name.startswith("forward"):\n'
        '        returned[0] += f" + {numbers.name(0.0)} * tanh(tanh({arguments[0]}))"\n'
        '    lines.append(wrapped("    return ", "(", returned, ")"))\n',
        pairs=20,
        benchmarks=BENCHMARKS[:1],
    ),
    "larger": Plant(
        "rows of the engine's blocks of vectors are a quarter longer",
        "memory.Workspace",
        "rnnbench/engines/cpu/memory.py",
        "        row = sum(widths.values())\n",
        "        row = sum(widths.values())\n        row += row // 4 // 16 * 16\n",
        benchmarks=BENCHMARKS[1:],
    ),
    "less exact": Plant(
        "the sigmoid's polynomial lacks its last coefficient",
        "error.",
        "rnnbench/engines/cpu/kernels/functions.py",
        '"float32": ("-0x1.554feep-2", "0x1.0c816ap-3")',
        '"float32": ("-0x1.554feep-2",)',
        benchmarks=BENCHMARKS[1:],
    ),
    "wrong gradient": Plant(
        "the derivative of tanh is 1 - y instead of 1 - y²",
        "error.",
        "rnnbench/lang/ops.py",
        "(g * (1.0 - y * y),)",
        "(g * (1.0 - y),)",
        benchmarks=(*BENCHMARKS[1:], LONG_RANGE),
    ),
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in ``folder`` and return what it prints."""
    identity = ["-c", "user.name=validation", "-c", "user.email=validation@localhost", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def copy_tree(folder: Path) -> None:
    """Make a repository of the working tree as it is, its only commit tagged ``base``."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file() and not name.startswith("reports/"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the working tree")
    git(folder, "tag", "base")


def plant(folder: Path, name: str, number: int) -> str:
    """Commit a plant on top of ``base`` and return the name of its tag."""
    change, tag = PLANTS[name], f"{name.replace(' ', '-')}-{number // TOGETHER}"
    if git(folder, "tag", "--list", tag).strip():
        return tag
    git(folder, "checkout", "--quiet", "--force", "--detach", "base")
    if change.file:
        path = folder / change.file
        text = path.read_text(encoding="utf-8")
        if text.count(change.old) != 1:
            sys.exit(f"{change.file} no longer holds what the plant {name!r} replaces: {change.old!r}")
        path.write_text(text.replace(change.old, change.new), encoding="utf-8")
    (folder / "docs" / "planted.md").write_text(f"{tag}\n", encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", tag)
    git(folder, "tag", "--force", tag)
    git(folder, "checkout", "--quiet", "--force", "--detach", "base")  # the suite is the base's
    return tag


def measure(folder: Path, name: str, number: int) -> dict:
    """Run the command on one pair and return what it answered, with the seconds that it took."""
    checkout, output = folder / "checkout", folder / "results" / f"{name.replace(' ', '-')}-{number}"
    tag = plant(checkout, name, number)
    chosen = [word for bench in PLANTS[name].benchmarks for word in ("--bench", bench)]
    begun = time.monotonic()
    # -P: the command is that of this working tree, not the one of the commits that it measures.
    command = [sys.executable, "-P", "-m", "rnnbench", "ci", "base", tag, "--python", "same", "--output", str(output)]
    done = subprocess.run([*command, "--quiet", *chosen], cwd=checkout, capture_output=True, text=True)
    if done.returncode not in range(5) or not (output / "results.json").is_file():
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    answer = json.loads((output / "results.json").read_text(encoding="utf-8"))
    verdicts = [
        {key: held[key] for key in ("benchmark", "params", "outcome", "rounds", "change", "low", "high", "p", "reason")}
        for held in answer["benchmarks"]
    ]
    return {
        "plant": name,
        "number": number,
        "exit_code": answer["exit_code"],
        "seconds": round(time.monotonic() - begun, 1),
        "verdicts": verdicts,
    }


def table(pairs: list[dict]) -> list[str]:
    """Return the lines of the table: of each plant how many pairs were measured, found, and accused wrongly."""
    lines = [
        "| planted | pairs | found | accused otherwise | change as measured, median (least to most) | seconds a pair |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for name, change in PLANTS.items():
        mine = [pair for pair in pairs if pair["plant"] == name]
        if not mine:
            continue
        found, wrong, changes = 0, 0, []
        for pair in mine:
            accused = [held["benchmark"] for held in pair["verdicts"] if held["outcome"] == "regression"]
            meant = [bool(change.shows_in) and held.startswith(change.shows_in) for held in accused]
            found += any(meant)
            wrong += not all(meant)
            changes += [
                held["change"] for held in pair["verdicts"]
                if change.shows_in and held["benchmark"].startswith(change.shows_in) and held["change"] is not None
            ]  # fmt: skip
        changes.sort()
        told = ""
        if changes:
            told = f"{changes[len(changes) // 2]:+.1%} ({changes[0]:+.1%} to {changes[-1]:+.1%})"
        seconds = sum(pair["seconds"] for pair in mine) / len(mine)
        shown = found if change.shows_in else "—"
        lines.append(f"| {name}: {change.what} | {len(mine)} | {shown} | {wrong} | {told} | {seconds:.0f} |")
    return lines


def main() -> None:
    """Measure the pairs that are missing and print the table."""
    options = argparse.ArgumentParser(description="How often rnnbench ci is right.")
    options.add_argument("--folder", type=Path, default=ROOT / "reports" / "ci_validation")
    options.add_argument("--plants", default=",".join(PLANTS), help="which, separated by commas")
    options.add_argument("--pairs", type=int, help="at most so many of each")
    options.add_argument("--table", action="store_true", help="measure nothing more")
    given = options.parse_args()
    chosen = given.plants.split(",")
    if not set(chosen) <= set(PLANTS):
        options.error(f"plants are {', '.join(PLANTS)}")
    log, checkout = given.folder / "pairs.jsonl", given.folder.resolve() / "checkout"
    pairs = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if not given.table:
        if not checkout.is_dir():
            checkout.mkdir(parents=True)
            copy_tree(checkout)
        done = {(pair["plant"], pair["number"]) for pair in pairs}
        wanted = {name: min(PLANTS[name].pairs, given.pairs or PLANTS[name].pairs) for name in chosen}
        turns = sorted(
            (number // TOGETHER, chosen.index(name), number) for name in chosen for number in range(wanted[name])
        )
        for _, place, number in turns:
            name = chosen[place]
            if (name, number) not in done:
                pairs.append(measure(given.folder.resolve(), name, number))
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(pairs[-1]) + "\n")
                print(name, number, "exit", pairs[-1]["exit_code"], pairs[-1]["seconds"], file=sys.stderr, flush=True)
    print("\n".join(table(pairs)))


if __name__ == "__main__":
    main()
