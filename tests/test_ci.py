"""``rnnbench ci`` on a small project of its own: two commits, built, measured in turns and judged."""

import json
from pathlib import Path
from xml.etree import ElementTree

import ci_project
import pytest
from typer.testing import CliRunner

from rnnbench.cli import app

pytest.importorskip("asv", reason="measuring commits needs the extra 'ci'")


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """The project with commits tagged after what they changed, each on top of the first."""
    folder = tmp_path_factory.mktemp("origin")
    first = ci_project.create(folder)
    changes = {
        "nothing": {},
        "worse": {"KEPT": 1300, "SCORE": 0.5},
        "broken": {"KEPT": "1 +"},
        "raising": {"SCORE": 1j},
    }
    for tag, constants in changes.items():
        ci_project.git(folder, "checkout", "--detach", first)
        ci_project.commit(folder, **constants)
        ci_project.git(folder, "tag", tag)
    ci_project.git(folder, "checkout", "main")
    ci_project.git(folder, "tag", "first")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder of built commits that the tests share: what is the same is not built again."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def checkout(origin, built, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "checkout"
    ci_project.git(tmp_path, "clone", "--quiet", str(origin), str(folder))
    (folder / ".asv").symlink_to(built)
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str):
    return CliRunner().invoke(app, ["ci", *arguments, "--python", "same"])


def answer(*arguments: str, code: int) -> dict:
    """Run the command, which must end with ``code``, and return its JSON, which must be what the file holds."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    document = json.loads(result.stdout)
    assert document == json.loads(Path("reports/ci/results.json").read_text(encoding="utf-8"))
    assert document["exit_code"] == code
    return document


def outcomes(document: dict) -> dict[str, str]:
    return {held["benchmark"].rpartition(".")[2]: held["outcome"] for held in document["benchmarks"]}


def test_memory_and_a_score_of_which_more_is_better_have_their_own_direction(checkout):
    """The one that runs by default; the entry point of the project is what its benchmark of memory goes through."""
    result = run("first", "worse")
    assert result.exit_code == 1, result.output
    document = json.loads(Path("reports/ci/results.json").read_text(encoding="utf-8"))
    assert outcomes(document) == {
        "time_work": "unchanged",
        "track_kept": "regression",
        "track_score": "regression",
        "time_device": "skipped",
    }
    changes = {held["benchmark"]: held["change"] for held in document["benchmarks"]}
    assert changes["speed.Kept.track_kept"] == pytest.approx(0.3)
    assert changes["speed.Score.track_score"] == pytest.approx(-0.4 / 0.9)
    assert [held["reason"] for held in document["benchmarks"] if held["reason"]] == ["there is no such device"]
    assert "2 regressions among 3 benchmarks measured" in result.stdout
    comment = Path("reports/ci/comment.md").read_text(encoding="utf-8")
    assert comment.index("🔴 worse | `speed.Kept.track_kept`") < comment.index("<details>")
    cases = ElementTree.parse("reports/ci/junit.xml").getroot()
    assert [cases.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "2", "0", "1"]
    smaller, bigger = (
        json.loads(Path(f"reports/ci/{name}-is-better.json").read_text(encoding="utf-8"))
        for name in ("smaller", "bigger")
    )
    assert [entry["name"] for entry in smaller] == ["speed.Kept.track_kept", "speed.Work.time_work"]  # in order
    assert [(entry["name"], entry["value"]) for entry in bigger] == [("speed.Score.track_score", 0.5)]
    [timed] = [held for held in document["series"] if held["benchmark"]["name"] == "speed.Work.time_work"]
    # A reference stands beside every sample, and both sides took as many.
    assert len(timed["rounds"]) >= 3
    for turn in timed["rounds"]:
        assert len(turn["base"]) == len(turn["head"]) >= 3
        assert all(value > 0 and reference > 0 for side in turn.values() for value, reference in side)


@pytest.mark.slow
def test_nothing_changed(checkout):
    assert set(outcomes(answer("first", "nothing", code=0)).values()) == {"unchanged", "skipped"}


@pytest.mark.slow
def test_a_benchmark_that_fails_with_the_new_commit(checkout):
    document = answer("first", "raising", "--bench", "track_score", code=2)
    assert outcomes(document) == {"track_score": "failed"}
    assert document["benchmarks"][0]["reason"].startswith("head: ")


@pytest.mark.slow
def test_a_new_commit_with_which_the_suite_cannot_be_read(checkout):
    assert "the suite in benchmarks cannot be imported with broken" in answer("first", "broken", code=2)["answer"]


def test_a_base_that_does_not_exist(checkout):
    assert "'nowhere' is no commit of this repository" in answer("nowhere", "first", code=4)["answer"]


@pytest.mark.slow
def test_a_base_with_which_nothing_runs(checkout):
    assert "no benchmark runs with broken" in answer("broken", "first", "--bench", "track_score", code=4)["answer"]


@pytest.mark.slow
def test_nothing_measured(checkout):
    assert "no benchmark was chosen" in answer("first", "nothing", "--bench", "no such", code=3)["answer"]
    assert "every one skips" in answer("first", "nothing", "--bench", "time_device", code=3)["answer"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("first", "nowhere"), "'nowhere' is no commit"),
        (("first", "--bench", "("), "no regular expression"),
        (("first", "--smallest-change", "0"), "smallest change"),
        (("first", "--rounds", "1"), "rounds must be at least"),
        (("first", "--asv-config", "elsewhere.json"), "there is no elsewhere.json"),
        (("first", "--output", "asv.conf.json/inside"), "cannot write to output folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(checkout, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.slow
def test_a_slower_commit_is_found_in_environments_of_asvs_own(checkout):
    """As in continuous integration: each commit in an environment that asv makes, and there this package beside it."""
    (checkout / ".asv").unlink()
    config = json.loads((checkout / "asv.conf.json").read_text(encoding="utf-8"))
    package = Path(ci_project.__file__).parents[1]
    # The language that cells are written in needs no other package.
    config["install_command"] = [f"in-dir={{env_dir}} python -m pip install --no-deps {package} {{wheel_file}}"]
    (checkout / "asv.conf.json").write_text(json.dumps(config), encoding="utf-8")
    slower = ci_project.commit(checkout, WORK=800)
    result = CliRunner().invoke(app, ["ci", "first", slower, "--bench", "time_work", "--bench", "track_kept"])
    assert result.exit_code == 1, result.output
    document = json.loads(Path("reports/ci/results.json").read_text(encoding="utf-8"))
    assert outcomes(document) == {"time_work": "regression", "track_kept": "unchanged"}
