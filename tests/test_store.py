"""The results store: what is added stays, whatever happens to the process or to the file."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.trials import SCHEMA, Store


def record(key, kind="time", **more):
    return {"schema": SCHEMA, "kind": kind, "key": key, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "results.sqlite"


def test_records_come_back_as_they_were_in_the_order_of_adding(path):
    given = [
        record("b", samples=[0.1, 1e-9], check={"max_error": 0.0}),
        record("a", kind="trial", text="é"),
        record("c"),
    ]
    with Store(path) as store:
        assert [store.add(one) for one in given] == [True, True, True]
    with Store(path) as store:
        assert store.records() == given
        assert store.records("time") == [given[0], given[2]]
        assert store.get("a") == given[1]
        assert store.get("z") is None
        assert (len(store), "a" in store, "z" in store) == (3, True, False)
        assert (store.keys(), store.keys("trial")) == ({"a", "b", "c"}, {"a"})


def test_the_first_record_of_a_key_stays(path):
    with Store(path) as store:
        assert store.add(record("a", value=1)) is True
        assert store.add(record("a", value=2)) is False
        assert store.records() == [record("a", value=1)]


def test_a_record_is_there_for_others_as_soon_as_it_is_added(path):
    with Store(path) as writer, Store(path, read_only=True) as reader:
        writer.add(record("a"))
        assert reader.keys() == {"a"}
        writer.add(record("b"))
        assert reader.keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"kind": "time"}, "'kind' and 'key'"),
        ({"kind": "", "key": "a"}, "'kind' and 'key'"),
        (record("a", loss=math.nan), "not plain JSON"),
        (record("a", value=object()), "not plain JSON"),
    ],
)
def test_what_is_no_record_is_refused(path, bad, said):
    with Store(path) as store:
        with pytest.raises(RnnbenchError, match=said):
            store.add(bad)
        assert len(store) == 0


def test_a_raw_curve_is_kept_small_and_whole(path):
    curve = [[step, float(f"{math.exp(-step / 700) + step % 7 / 1000:.6g}")] for step in range(1, 5001)]
    with Store(path) as store:
        store.add(record("a", kind="trial", curve=curve))
        assert store.get("a") == record("a", kind="trial", curve=curve)
    assert path.stat().st_size < len(json.dumps(curve)) / 2


def test_a_file_of_another_version_is_refused_and_left_alone(path):
    with Store(path) as store:
        store.add(record("a"))
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(RnnbenchError, match=f"another version of rnnbench \\(format {SCHEMA + 1}"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE records (key TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(RnnbenchError, match="not a results file of rnnbench"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_text("not a database at all\n" * 100)
    with pytest.raises(RnnbenchError, match="not a results file of rnnbench"):
        Store(path)
    assert path.read_text() == "not a database at all\n" * 100


def test_an_empty_file_is_a_new_store(path):
    path.parent.mkdir()
    path.touch()  # what a process killed at the very start leaves behind
    with Store(path) as store:
        assert store.add(record("a")) is True


def test_places_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RnnbenchError, match="cannot be opened"):
        Store(tmp_path / "file" / "results.sqlite")
    with pytest.raises(RnnbenchError, match="cannot be"):
        Store(tmp_path)
    with pytest.raises(RnnbenchError, match="no results file"):
        Store(tmp_path / "missing.sqlite", read_only=True)
    assert not (tmp_path / "missing.sqlite").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_locked_folder_can_be_read_but_not_written_to(path):
    with Store(path) as store:
        store.add(record("a"))
    path.parent.chmod(0o500)
    try:
        with pytest.raises(RnnbenchError, match="cannot be"):
            Store(path.parent / "new.sqlite")
        with Store(path, read_only=True) as store:
            assert store.records() == [record("a")]
    finally:
        path.parent.chmod(0o700)


def test_reading_leaves_nothing_behind(path):
    with Store(path) as store:
        store.add(record("a"))
    before = sorted(path.parent.iterdir())
    with Store(path, read_only=True) as store:
        assert store.records() == [record("a")]
    assert sorted(path.parent.iterdir()) == before


def test_what_is_being_written_can_be_read(path):
    with Store(path) as store:
        store.add(record("a"))
        with Store(path, read_only=True) as reader:
            assert reader.records() == [record("a")]
            store.add(record("b"))
            assert reader.records() == [record("a"), record("b")]


def test_a_read_only_store_is_not_written_to(path):
    with Store(path) as store:
        store.add(record("a"))
    with Store(path, read_only=True) as store:
        assert store.records() == [record("a")]
        with pytest.raises(RnnbenchError, match="cannot be written to"):
            store.add(record("b"))


def test_a_file_damaged_in_use_is_told_in_one_sentence(path):
    with Store(path) as store:
        store.add(record("a"))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE records")
    connection.close()
    with Store(path) as store, pytest.raises(RnnbenchError, match="cannot be read"):
        store.records()


WRITER = """
import sys
from rnnbench.trials.store import Store
store = Store(sys.argv[1])
for number in range(100_000):
    store.add({"kind": "time", "key": str(number), "samples": [number] * 200})
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 17, 40])
def test_every_record_acknowledged_before_sigkill_is_there(path, after):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= after:
            break
    process.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in process.stdout.read().splitlines()] or [after]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    with Store(path) as store:
        found = store.records()
        # One more may have been committed just before its acknowledgement was printed.
        assert len(found) in (acknowledged[-1] + 1, acknowledged[-1] + 2)
        assert found == [{"kind": "time", "key": str(n), "samples": [n] * 200} for n in range(len(found))]
        assert store.add(record("later")) is True
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


HOLDER = """
import sys
from rnnbench.trials.store import Store
store = Store(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(path):
    """Return a process that holds the store open for writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


def test_a_store_in_use_by_another_run_is_told_with_its_owner(path, holder):
    said = (
        f"is in use by another run \\(process {holder.pid} on .+, since .+ UTC\\): wait until it ends, or name another"
    )
    with pytest.raises(RnnbenchError, match=said):
        Store(path)
    with Store(path, read_only=True) as reader:
        assert reader.records() == []
    with pytest.raises(RnnbenchError, match=said):
        Store(path)  # it said so once and did not take the lock away


def test_a_store_is_free_after_its_owner_was_killed(path, holder):
    holder.kill()
    holder.wait()
    assert (path.parent / "results.sqlite.lock").exists(), "what the dead left behind"
    with Store(path) as store:
        assert store.add(record("a")) is True
        with pytest.raises(RnnbenchError, match=f"in use by another run .process {os.getpid()} on "):
            Store(path)
    with Store(path) as store:
        assert store.records() == [record("a")]
    assert [file.name for file in path.parent.iterdir()] == ["results.sqlite"]


def test_a_store_that_cannot_be_opened_is_left_unlocked(tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_text("not a database at all\n" * 100)
    for _ in range(2):
        with pytest.raises(RnnbenchError, match="not a results file"):
            Store(path)
    assert [file.name for file in tmp_path.iterdir()] == ["results.sqlite"]


def test_a_full_disk_is_told_in_one_sentence_and_what_was_stored_stays(path):
    with Store(path) as store:
        store.add(record("a"))
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(
            RnnbenchError, match="no room is left on the disk with .*: what was measured before is stored"
        ):
            store.add(record("b", samples=[math.sin(number) for number in range(5000)]))
        assert store.records() == [record("a")]
    with Store(path) as store:
        assert store.add(record("b")) is True


def test_the_store_needs_neither_pandas_nor_pydantic():
    code = "import sys, rnnbench.trials.store; print([m for m in ('pandas', 'pydantic', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


MIXED = [
    record(
        "a", "trial", trial={"cell": "gru", "hyper": {"dt": 0.5}, "init": None}, curve=[[1, 0.5], [2, None]], steps=2
    ),
    record("b", "trial", trial={"cell": "lstm", "hyper": {}, "init": {"b.f": 1.0}}, curve=[], steps=None),
    record("c", "trial", trial={"cell": "lstm", "hyper": {}, "init": {"b.f": "zeros"}}, curve=[[1, 1.0]], steps=3),
    record("d", "time", samples=[0.25, 0.5], where={"packages": {"numpy": "2.4"}}),
]


def test_frames_have_one_row_a_record_and_dotted_columns(path):
    with Store(path) as store:
        for one in MIXED:
            store.add(one)
        frame = store.to_frame("trial")
        assert list(frame["key"]) == ["a", "b", "c"]
        assert list(frame["trial.cell"]) == ["gru", "lstm", "lstm"]
        assert frame["curve"].tolist()[0] == [[1, 0.5], [2, None]]
        assert store.to_frame("time")["where.packages.numpy"].tolist() == ["2.4"]
        assert store.to_frame("memory").empty


def test_export_can_be_read_back_in_every_format(path, tmp_path):
    with Store(path) as store:
        for one in MIXED:
            store.add(one)
        written = store.export(tmp_path / "exported")
    assert sorted(file.name for file in written) == [
        f"{kind}.{suffix}" for kind in ("time", "trial") for suffix in ("csv", "json", "parquet")
    ]
    folder = tmp_path / "exported"
    assert json.loads((folder / "trial.json").read_text(encoding="utf-8")) == MIXED[:3]
    parquet, csv = pd.read_parquet(folder / "trial.parquet"), pd.read_csv(folder / "trial.csv")
    for frame in (parquet, csv):
        assert list(frame["key"]) == ["a", "b", "c"]
        assert frame["trial.hyper.dt"].tolist()[0] == 0.5
        assert list(frame["steps"].fillna(-1)) == [2, -1, 3]
        # The same option was a number in one record and a text in another: both are given as JSON.
        assert [json.loads(text) for text in frame["trial.init.b.f"].tolist()[1:]] == [1.0, "zeros"]
    assert [list(pair) for pair in parquet["curve"].tolist()[2]] == [[1, 1.0]]
    assert json.loads(csv["curve"].tolist()[0]) == [[1, 0.5], [2, None]]
    assert list(pd.read_parquet(folder / "time.parquet")["samples"].tolist()[0]) == [0.25, 0.5]


def test_export_to_a_place_that_cannot_be_written_is_told(path, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with Store(path) as store:
        store.add(record("a"))
        with pytest.raises(RnnbenchError, match="cannot be exported"):
            store.export(Path(blocked))


def test_a_file_that_a_run_has_just_made_is_empty_to_a_reader(path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(RnnbenchError, match="stored nothing yet"):
        Store(path, read_only=True)
    assert path.read_bytes() == b""
