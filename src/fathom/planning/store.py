"""The store of measurements: one SQLite file in the user's data folder.

Several processes may write at once and any may be killed: a record is one transaction in a
write-ahead log. A file that cannot be understood is moved aside, which is said, and a new one
begun; nothing that a measurement does can spoil the answer it was taken of.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from platformdirs import user_data_path

from fathom.errors import RequestError
from fathom.planning.records import Figure, Record, Settings, Software, Subject

SCHEMA = 1  # kept as SQLite's user_version
KEPT = 50_000  # records; the oldest go first
_PATIENCE = 10.0  # seconds to wait for another writer, each of whom needs milliseconds

# A record's parts become columns under these prefixes; its figures are rows of their own.
_PARTS: Mapping[str, type] = {"subject": Subject, "settings": Settings, "software": Software}
_COLUMNS = (
    *("kind", "machine", "time"),
    *(f"{part}_{one.name}" for part, kind in _PARTS.items() for one in fields(kind)),
)
_DEFINITION = f"""
CREATE TABLE records (id INTEGER PRIMARY KEY, {", ".join(_COLUMNS)});
CREATE INDEX by_model ON records (subject_name);
CREATE TABLE figures (
    record INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    name TEXT NOT NULL, predicted REAL, measured REAL, spread REAL,
    PRIMARY KEY (record, name)
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA};
"""
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")


class NewerStoreError(RequestError):
    """A store written by a later version, which this one would only damage."""


def data_folder() -> Path:
    """Where what the user's own machine taught is kept: ``FATHOM_DATA``, or the usual place."""
    chosen = os.environ.get("FATHOM_DATA")
    return Path(chosen).expanduser() if chosen else user_data_path("fathom")


def store_file() -> Path:
    """Return the store's file, which need not exist yet."""
    return data_folder() / "measurements.sqlite"


def recording() -> bool:
    """Whether runs are to be recorded: unless ``FATHOM_RECORD`` is 0."""
    return os.environ.get("FATHOM_RECORD", "1") != "0"


def keep(record: Record) -> bool:
    """Add a record and return whether it is kept. Where it cannot be, that is a warning only."""
    try:
        _with_store(lambda store: _insert(store, record), create=True)
    except (OSError, sqlite3.Error, NewerStoreError) as error:
        warnings.warn(f"this measurement is not kept: {error}", stacklevel=2)
        return False
    return True


def records(**equal: object) -> list[Record]:
    """Return the records whose columns have these values, oldest first.

    Columns are those of the store: ``kind``, ``machine``, ``time``, and the parts of a record
    with the part's name before them, such as ``subject_name`` or ``settings_dtype``. The value
    of ``subject_name`` also finds a model by the beginning of its digest, at least 8 digits.

    Raises:
        RequestError: the store cannot be read, or was written by a later version.
    """
    if not store_file().is_file():
        return []
    with _explained():
        return _with_store(lambda store: list(_select(store, equal)))


def forget(model: str | None = None) -> int:
    """Delete the records of a model, or all; return how many.

    Raises:
        RequestError: as `records`.
    """
    if not store_file().is_file():
        return 0
    where, values = _where({} if model is None else {"subject_name": model})

    def delete(store: sqlite3.Connection) -> int:
        with store:
            return store.execute(f"DELETE FROM records{where}", values).rowcount

    with _explained():
        return _with_store(delete)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise RequestError(
            f"the measurements in {store_file()} cannot be read ({error}); make the file readable"
            " or set FATHOM_DATA to another folder"
        ) from error


def _with_store(work: Callable[[sqlite3.Connection], T], create: bool = False) -> T:
    """Do something with the open store; if its file turns out broken, once more with a new one."""
    path = store_file()
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(_open(path)) as store:
            return work(store)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BROKEN:
            raise
    _move_aside(path)
    with closing(_open(path)) as store:
        return work(store)


def _open(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        store.execute("PRAGMA foreign_keys = ON")
        if _version(store) != SCHEMA:
            _define(store)
        store.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        store.close()
        raise
    return store


def _version(store: sqlite3.Connection) -> int:
    return int(store.execute("PRAGMA user_version").fetchone()[0])


def _define(store: sqlite3.Connection) -> None:
    """Make the tables of a new store.

    Raises:
        NewerStoreError: it is not new but of a version unknown here.
        sqlite3.DatabaseError: it is a database, and not ours.
    """
    found = _version(store)
    if found > SCHEMA:
        raise NewerStoreError(
            f"the store {store_file()} is of version {found} and this Fathom reads {SCHEMA};"
            " update Fathom, or set FATHOM_DATA to another folder"
        )
    store.execute("PRAGMA journal_mode = WAL")  # before the transaction; the file remembers it
    store.execute("BEGIN IMMEDIATE")  # two processes may begin at once; the second finds it made
    if _version(store) == SCHEMA:
        store.rollback()
        return
    if store.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        foreign = sqlite3.DatabaseError("it holds other tables")
        foreign.sqlite_errorcode = sqlite3.SQLITE_NOTADB
        raise foreign
    for statement in _DEFINITION.split(";"):
        store.execute(statement)
    store.commit()


def _move_aside(path: Path) -> None:
    """Rename a broken store, unless another process has done so meanwhile."""
    with FileLock(path.with_suffix(".lock")):
        with suppress(sqlite3.DatabaseError), closing(_open(path)) as store:
            if store.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok":
                return
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = path.with_name(f"{path.stem}.broken-{stamp}{path.suffix}")
        path.replace(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the broken file and would spoil the new
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    warnings.warn(
        f"the store of measurements could not be read; it is set aside as {aside.name} and a new"
        " one begun",
        stacklevel=4,
    )


def _insert(store: sqlite3.Connection, record: Record) -> None:
    values = [record.kind, record.machine, record.time]
    for part in _PARTS:
        values += asdict(getattr(record, part)).values()
    marks = ", ".join("?" * len(_COLUMNS))
    with store:
        added = store.execute(
            f"INSERT INTO records ({', '.join(_COLUMNS)}) VALUES ({marks})", values
        ).lastrowid
        store.executemany(
            "INSERT INTO figures VALUES (?, ?, ?, ?, ?)",
            [
                (added, name, figure.predicted, figure.measured, figure.spread)
                for name, figure in record.figures.items()
            ],
        )
        store.execute("DELETE FROM records WHERE id <= ?", ((added or 0) - KEPT,))


def _select(store: sqlite3.Connection, equal: Mapping[str, object]) -> Iterator[Record]:
    where, values = _where(equal)
    figures: dict[int, dict[str, Figure]] = {}
    chosen = f"SELECT id FROM records{where}"
    rows = store.execute(f"SELECT * FROM figures WHERE record IN ({chosen})", values)
    for record, name, *numbers in rows:
        figures.setdefault(record, {})[name] = Figure(*numbers)
    listed = ", ".join(_COLUMNS)
    for row in store.execute(f"SELECT id, {listed} FROM records{where} ORDER BY id", values):
        yield _record(row[1:], figures.get(row[0], {}))


def _where(equal: Mapping[str, object]) -> tuple[str, Sequence[object]]:
    clauses: list[str] = []
    values: list[object] = []
    for column, value in equal.items():
        if column not in _COLUMNS:
            raise LookupError(f"the store has no column {column!r}")
        clauses.append(f"{column} IS ?")
        values.append(value)
        if column == "subject_name" and len(str(value)) >= 8:
            clauses[-1] = f"({column} IS ? OR substr(subject_digest, 1, {len(str(value))}) IS ?)"
            values.append(value)
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), values


def _record(row: Sequence[object], figures: Mapping[str, Figure]) -> Record:
    named = dict(zip(_COLUMNS, row, strict=True))
    parts = {
        part: kind(**{one.name: named[f"{part}_{one.name}"] for one in fields(kind)})
        for part, kind in _PARTS.items()
    }
    plain = {name: named[name] for name in ("kind", "machine", "time")}
    return Record(figures=figures, **parts, **plain)  # type: ignore[arg-type]  # as it was kept
