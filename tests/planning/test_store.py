"""The store: what goes in comes out, whoever else writes, whatever dies, whatever the file was."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.errors import RequestError
from fathom.planning import store
from fathom.planning.records import DECODE, Figure, Record, Settings, Software, Subject

RECORD = Record(
    kind="run",
    subject=Subject("smollm2:135m", "ab" * 32, "llama", "SLM", 134, 134, "Q4_1"),
    settings=Settings("float32", "cpu", 2, 128, 1, 37, 60),
    figures={DECODE: Figure(40.0, 50.0, None), "memory_total": Figure(None, 3e8, 0.25)},
    machine="a machine",
    software=Software("0.1.0", None, "2.13.0", "f0"),
    time="2025-01-02T03:04:05+00:00",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist yet."""
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_what_is_kept_comes_back_equal_and_in_order() -> None:
    later = replace(RECORD, kind="bench", figures={})
    assert store.keep(RECORD) and store.keep(later)
    assert store.records() == [RECORD, later]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"])),
    figures=st.dictionaries(
        st.text("abc_", min_size=1),
        st.builds(Figure, *[st.none() | st.floats(allow_nan=False)] * 3),
        max_size=4,
    ),
    tokens=st.integers(0, 2**40),
)
def test_any_name_and_any_number_survives(name, figures, tokens) -> None:
    record = replace(
        RECORD,
        subject=replace(RECORD.subject, name=name),
        settings=replace(RECORD.settings, new_tokens=tokens),
        figures=figures,
    )
    store.forget()
    assert store.keep(record)
    assert store.records() == [record]


def test_no_store_is_no_measurements_and_asking_makes_none(folder: Path) -> None:
    assert store.records() == []
    assert store.forget() == 0
    assert not folder.exists()


def test_records_are_found_by_any_column_and_a_model_by_its_digest_too() -> None:
    other = replace(RECORD, subject=replace(RECORD.subject, name="other", digest="cd" * 32))
    assert store.keep(RECORD) and store.keep(other)
    assert store.records(subject_name="other") == [other]
    assert store.records(subject_name="cdcdcdcd") == [other]
    assert store.records(subject_name="cdcd") == []  # too short to mean one model
    assert store.records(settings_dtype="float32", kind="run") == [RECORD, other]
    assert store.records(kind="bench") == []
    with pytest.raises(LookupError, match="no column"):
        store.records(**{"1=1; --": 0})


def test_forgetting_takes_a_model_or_all() -> None:
    other = replace(RECORD, subject=replace(RECORD.subject, name="other", digest="cd" * 32))
    for one in (RECORD, RECORD, other):
        assert store.keep(one)
    assert store.forget("smollm2:135m") == 2
    assert store.records() == [other]
    assert store.forget() == 1
    assert store.records() == []


def test_figures_go_with_their_record() -> None:
    assert store.keep(RECORD)
    assert store.forget() == 1
    with sqlite3.connect(store.store_file()) as connection:
        assert connection.execute("SELECT count(*) FROM figures").fetchone() == (0,)
    connection.close()


def test_the_oldest_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 3)
    for number in range(5):
        assert store.keep(replace(RECORD, time=str(number)))
    assert [record.time for record in store.records()] == ["2", "3", "4"]


@pytest.mark.parametrize(
    "content",
    [b"not a database at all " * 100, b"SQLite format 3\x00" + b"\xff" * 4096],
    ids=["text", "broken header"],
)
def test_an_unreadable_store_is_moved_aside_and_a_new_one_begun(folder: Path, content) -> None:
    folder.mkdir()
    store.store_file().write_bytes(content)
    with pytest.warns(UserWarning, match="set aside as measurements.broken-"):
        assert store.keep(RECORD)
    assert store.records() == [RECORD]
    (aside,) = folder.glob("*.broken-*")
    assert aside.read_bytes() == content


def test_a_page_destroyed_later_is_noticed(folder: Path) -> None:
    for _ in range(50):
        store.keep(RECORD)
    with store.store_file().open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (store.store_file().stat().st_size - 4096))
    with pytest.warns(UserWarning, match="set aside"):
        assert store.records() == []
    assert store.keep(RECORD)


def test_another_programs_database_is_not_written_into(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(store.store_file()) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.warns(UserWarning, match="set aside"):
        assert store.keep(RECORD)
    (aside,) = folder.glob("*.broken-*")
    with sqlite3.connect(aside) as kept:
        assert kept.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    kept.close()


def test_a_store_of_a_later_version_is_left_alone(folder: Path) -> None:
    assert store.keep(RECORD)
    with sqlite3.connect(store.store_file()) as newer:
        newer.execute(f"PRAGMA user_version = {store.SCHEMA + 1}")
    newer.close()
    with pytest.raises(RequestError, match="update Fathom"):
        store.records()
    with pytest.warns(UserWarning, match="not kept: the store"):
        assert not store.keep(RECORD)
    assert not list(folder.glob("*.broken-*"))


def test_a_folder_that_cannot_be_is_said_and_stops_nothing(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not kept"):
        assert not store.keep(RECORD)


def test_a_store_that_cannot_be_read_names_the_remedy(folder: Path, monkeypatch) -> None:
    assert store.keep(RECORD)

    def refused(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refused)
    with pytest.raises(RequestError, match="FATHOM_DATA"):
        store.records()


def test_the_environment_turns_recording_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FATHOM_RECORD", raising=False)
    assert store.recording()
    monkeypatch.setenv("FATHOM_RECORD", "0")
    assert not store.recording()


_WRITER = """
import sys
sys.path.insert(0, {folder!r})
from test_store_record import RECORD
from fathom.planning import store
for _ in range(int(sys.argv[1])):
    assert store.keep(RECORD)
    print("kept", flush=True)
"""


def _writer(tmp_path: Path, count: int) -> subprocess.Popen[str]:
    module = tmp_path / "test_store_record.py"
    if not module.exists():  # a writer that runs already may be importing it
        module.write_text(Path(__file__).read_text().split("@pytest.fixture")[0])
    program = _WRITER.format(folder=str(tmp_path))
    command = [sys.executable, "-c", program, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [_writer(tmp_path, 25) for _ in range(4)]  # the store does not exist yet
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert store.records() == [RECORD] * 100


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_a_killed_writer_leaves_whole_records_only(tmp_path: Path) -> None:
    for wait in (0.0, 0.002, 0.005):
        writer = _writer(tmp_path, 10_000)
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(3)]
        time.sleep(wait)
        writer.kill()
        said += writer.communicate()[0].splitlines()
        whole = store.records()
        assert len(whole) >= sum(line.strip() == "kept" for line in said)
        assert set(map(str, whole)) == {str(RECORD)}
    assert store.keep(RECORD)
