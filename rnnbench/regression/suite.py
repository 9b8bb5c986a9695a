"""Two commits of a project, each built into an environment of asv's own, and the one suite that measures both."""

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.regression.series import SIDES, Benchmark


class NoBaseline(RnnbenchError):
    """The base cannot be measured: no such commit, or it does not build."""


class BrokenHead(RnnbenchError):
    """The new commit cannot be measured: it does not build, or the suite cannot be imported with it."""


@dataclass(frozen=True)
class Side:
    """One commit, installed: ``name`` is "base" or "head"."""

    name: str
    commit: str
    environment: Any  # asv.environment.Environment
    spawner: Any  # asv.runner.Spawner
    benchmark_dir: str


@dataclass(frozen=True)
class Item:
    """One benchmark at one combination of parameters, and what asv knows of it."""

    benchmark: Benchmark
    id: str
    timeout: float
    setup_cache_key: str | None
    setup_cache_timeout: float


class Suite:
    """An asv suite and the two commits it measures; made by ``open_suite``."""

    def __init__(self, sides: dict[str, Side], items: list[Item]) -> None:
        self.sides = sides
        self.items = items
        self._caches: dict[tuple[str, str], tuple[str | None, str]] = {}

    def cache_folder(self, side: Side, item: Item) -> tuple[str | None, str]:
        """Return the folder of what ``setup_cache`` made, made once for each side, and why there is none."""
        if item.setup_cache_key is None:
            return None, ""
        key = (side.name, item.setup_cache_key)
        if key not in self._caches:
            with quietly():
                made = side.spawner.create_setup_cache(item.id, item.setup_cache_timeout, "{}")
            self._caches[key] = made
        return self._caches[key]

    def close(self) -> None:
        """Remove what ``setup_cache`` made."""
        for folder, _ in self._caches.values():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        self._caches.clear()


@contextlib.contextmanager
def open_suite(
    base: str,
    head: str = "HEAD",
    *,
    config: Path = Path("asv.conf.json"),
    bench: Sequence[str] = (),
    python: str | None = None,
    tell: Any = lambda text: None,
) -> Iterator[Suite]:
    """Build both commits and discover the suite of the checkout; the folder of ``config`` is the current one inside.

    Parameters
    ----------
    base, head : commits, as git names them.
    config : asv's configuration file.
    bench : regular expressions, as asv takes them: what matches any of them is measured.
    python : "same" for this Python, its packages and of each commit the project alone; a version such as "3.12" for an
        environment of asv's own; not given, the first environment of the configuration.
    tell : called with a sentence before each long step.

    Raises RnnbenchError for bad input, NoBaseline, BrokenHead.
    """
    try:
        import asv.util
    except ImportError as missing:
        raise RnnbenchError(
            f"asv is needed to measure commits, and {missing.name} is not installed: pip install 'rnnbench[ci]'"
        ) from missing
    if not config.is_file():
        raise RnnbenchError(f"there is no {config}: rnnbench ci runs in a checkout with a suite of asv's (docs/ci.md)")
    with contextlib.chdir(config.resolve().parent), quietly():
        try:
            suite = _open(base, head, config.name, bench, python, tell)
        except asv.util.UserError as error:
            raise RnnbenchError(f"asv: {error}") from error
    try:
        with contextlib.chdir(config.resolve().parent):
            yield suite
    finally:
        suite.close()


def _open(base: str, head: str, config: str, bench: Sequence[str], python: str | None, tell: Any) -> Suite:
    import asv.plugin_manager
    from asv.benchmarks import Benchmarks
    from asv.config import Config
    from asv.repo import NoSuchNameError, get_repo
    from asv.runner import get_spawner
    from asv.util import ProcessError, UserError

    conf = Config.load(config)
    for plugin in conf.plugins:
        asv.plugin_manager.plugin_manager.import_plugin(plugin)
    repo = get_repo(conf)
    if repo is None:
        raise RnnbenchError(f"{config} names no repository")
    tell("looking for the two commits")
    repo.pull()  # type: ignore[attr-defined] - every kind of repository has it
    names = dict(zip(SIDES, (base, head), strict=True))
    commits: dict[str, str] = {}
    for side, name in names.items():
        try:
            commits[side] = repo.get_hash_from_name(name)
        except (NoSuchNameError, ProcessError):
            sentence = f"{name!r} is no commit of this repository; a shallow clone lacks it: fetch it with its history"
            raise (NoBaseline if side == "base" else RnnbenchError)(sentence) from None
    sides: dict[str, Side] = {}
    for side, commit in commits.items():
        tell(f"building {side} {commit[:8]}")
        try:
            made = _environment(conf, side, python)
            made.create()
            made.install_project(conf, repo, commit)
        except (ProcessError, UserError) as error:
            raise (NoBaseline if side == "base" else BrokenHead)(
                f"{side} {commit[:8]} does not build: {error}"
            ) from error
        spawner = get_spawner(made, conf.benchmark_dir, launch_method="spawn")
        sides[side] = Side(side, commit, made, spawner, os.path.abspath(conf.benchmark_dir))
    tell("reading the suite")
    conf.branches = []  # the suite is read with the new commit or not at all
    try:
        chosen = Benchmarks.discover(conf, repo, [sides["head"].environment], [commits["head"]], regex=list(bench))
    except UserError as error:
        if str(error) == "Interrupted.":  # what asv makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise BrokenHead(f"the suite in {conf.benchmark_dir} cannot be imported with {head}: {error}") from error
    default = conf.default_benchmark_timeout
    return Suite(sides, [item for name in sorted(chosen) for item in _items(chosen, chosen[name], default)])


def _items(chosen: Any, held: dict[str, Any], default: float) -> Iterator[Item]:
    combinations = list(itertools.product(*held["params"])) if held["params"] else [()]
    selected = chosen.benchmark_selection.get(held["name"])
    timeout = held.get("timeout") or default
    for index, params in enumerate(combinations):
        if selected is not None and held["params"] and index not in selected:
            continue
        yield Item(
            benchmark=Benchmark(
                name=held["name"],
                params=tuple(params),
                param_names=tuple(held["param_names"]),
                unit=held["unit"],
                kind="time" if held["type"] == "time" else "value",
            ),
            id=f"{held['name']}-{index}" if held["params"] else held["name"],
            timeout=timeout,
            setup_cache_key=held.get("setup_cache_key"),
            setup_cache_timeout=held.get("setup_cache_timeout") or timeout,
        )


def _environment(conf: Any, side: str, python: str | None) -> Any:
    """Return asv's environment of a side: as configured, in a folder of its own, so that both are there at once."""
    import copy

    from asv.environment import get_environments

    own = copy.copy(conf)
    own.env_dir = os.path.join(conf.env_dir, side)
    if python == "same":
        return _same(own)
    wanted = [f"{conf.environment_type or ''}:{python}"] if python else None
    made = next(iter(get_environments(own, wanted)), None)
    if made is None:
        raise RnnbenchError(f"asv can make no environment for Python {python or ', '.join(conf.pythons)} here")
    return made


def _same(conf: Any) -> Any:
    from asv.environment import ExistingEnvironment
    from asv.util import check_call

    class ThisPython(ExistingEnvironment):
        """This Python and its packages; only the project itself is of the commit, installed into a folder."""

        tool_name = "this"

        def __init__(self) -> None:
            super().__init__(conf, "same", {}, {})
            self._folder = Path(conf.env_dir, f"py{sys.version_info[0]}.{sys.version_info[1]}").resolve()

        @property
        def env_vars(self) -> dict[str, str]:
            # asv takes its own variable in its scripts, where it drops the other.
            return dict.fromkeys(("PYTHONPATH", "ASV_PYTHONPATH"), str(self._folder / "installed"))

        def install_project(self, conf: Any, repo: Any, commit_hash: str | None = None) -> None:
            stamp, target, source = (self._folder / name for name in ("commit", "installed", "checkout"))
            if stamp.is_file() and stamp.read_text() == commit_hash:
                return
            stamp.unlink(missing_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            repo.checkout(str(source), commit_hash)
            project = source / conf.repo_subdir
            pip = [
                self._executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                str(target),
                str(project),
            ]
            check_call(pip, timeout=conf.install_timeout, display_error=False)
            stamp.write_text(str(commit_hash))

    return ThisPython()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let asv print to standard error: standard output is for the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for sockets and logs, its path short enough for a socket's name."""
    return tempfile.TemporaryDirectory(prefix="rnnbench-ci-")
