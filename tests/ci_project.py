"""A small project as others have it: a cell, offered through the entry point, and an asv suite of its own."""

import subprocess
from pathlib import Path

# Built by a backend of its own, so that nothing is fetched for it.
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tinycells"
version = "1.0"

[project.entry-points."rnnbench.cells"]
tiny_leaky = "tinycells:tiny_leaky"
"""
BACKEND = """\
import pathlib
import zipfile

FILES = {
    "METADATA": "Metadata-Version: 2.1\\nName: tinycells\\nVersion: 1.0\\n",
    "WHEEL": "Wheel-Version: 1.0\\nGenerator: backend\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "entry_points.txt": "[rnnbench.cells]\\ntiny_leaky = tinycells:tiny_leaky\\n",
}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    contents = {f"tinycells-1.0.dist-info/{name}": text for name, text in FILES.items()}
    contents["tinycells/__init__.py"] = pathlib.Path("tinycells/__init__.py").read_text()
    record = "tinycells-1.0.dist-info/RECORD"
    contents[record] = "".join(f"{name},,\\n" for name in [*contents, record])
    name = "tinycells-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        for path, text in contents.items():
            wheel.writestr(path, text)
    return name
"""
ASV = """\
{"version": 1, "project": "tinycells", "repo": ".", "branches": ["main"], "environment_type": "virtualenv",
 "env_dir": ".asv/env", "results_dir": ".asv/results", "html_dir": ".asv/html",
 "matrix": {"req": {"pip+asv_runner": ["0.3.2"]}},
 "build_command": ["python -m pip wheel --no-deps -w {build_cache_dir} {build_dir}"],
 "install_command": ["in-dir={env_dir} python -m pip install {wheel_file}"]}
"""
CELL = '''\
"""A leaky integrator, and the work that its benchmarks measure."""

import hashlib

from rnnbench.lang import cell, tanh

WORK = 400
KEPT = 1000
SCORE = 0.9


@cell(states="h")
def tiny_leaky(x, R, b, h):
    """A leaky integrator.

    Nobody 2026.
    """
    return 0.9 * h + 0.1 * tanh(x.n + R.n(h) + b.n)


def work():
    """Hash for a while."""
    digest = b""
    for _ in range(WORK):
        digest = hashlib.sha256(digest).digest()
    return digest
'''
SUITE = '''\
"""What tinycells is measured by."""

import rnnbench as rb
import tinycells


class Work:
    sample_time = 0.002
    smallest_change = 0.5

    def time_work(self):
        tinycells.work()


class Kept:
    unit = "bytes"

    def setup(self):
        self.cell = rb.get_cell("tiny_leaky")  # through the project's entry point

    def track_kept(self):
        return tinycells.KEPT * self.cell.param_count(4, 8)


class Score:
    better = "higher"
    unit = "score"

    def track_score(self):
        return tinycells.SCORE


class Device:
    def setup(self):
        raise NotImplementedError("there is no such device")

    def time_device(self):
        tinycells.work()
'''


def git(folder: Path, *arguments: str) -> str:
    """Run git, whatever the user's own configuration says, and return what it prints."""
    told = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *told, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, **changes: object) -> str:
    """Commit the project with other constants (``WORK=480``), or another text of a file (``suite=...``); the hash."""
    path = folder / "tinycells" / "__init__.py"
    text = path.read_text(encoding="utf-8")
    for name, value in changes.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} = ") else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "-m", ", ".join(changes) or "nothing")
    return git(folder, "rev-parse", "HEAD")


def create(folder: Path) -> str:
    """Create the project's repository in an empty ``folder`` and return its first commit."""
    for name, text in {
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "asv.conf.json": ASV,
        ".gitignore": ".asv/\nreports/\n",
        "tinycells/__init__.py": CELL,
        "benchmarks/__init__.py": "",
        "benchmarks/speed.py": SUITE,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "init", "--initial-branch=main")
    return commit(folder)
