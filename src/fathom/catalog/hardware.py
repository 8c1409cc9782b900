"""Accelerators and machines: memory, bandwidth and rates as their makers state them.

Read from ``hardware.toml``, whose head says what its figures mean; here they are bytes and
operations per second. What runs on a machine at hand is measured instead (`planning.probe`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, cast

from fathom.catalog import facts
from fathom.errors import NotFoundError, nearest

Kind = Literal[
    "data centre", "desktop", "workstation", "laptop", "embedded", "unified", "processor"
]
Row = Mapping[str, object]

GIB = 2**30
RATES = ("float32", "tf32", "bfloat16", "float16", "fp8", "int8", "fp4")

# Words of makers and marks that people leave out as often as not.
_MAKERS = ("nvidia", "amd", "intel", "apple", "google", "aws", "amazon", "qualcomm", "ampere")
_MARKS = frozenset(
    {*_MAKERS, "geforce", "radeon", "instinct", "tesla", "gpu", "cpu", "graphics", "core", "tm"}
)
_SERIES = re.compile(r"^(rtx|gtx|rx)(?=[0-9])")  # which a number often stands without


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from."""

    title: str
    url: str
    date: str  # of the document or of reading it: a year, a year and month


@dataclass(frozen=True, slots=True)
class Hardware:
    """One accelerator, or a machine whose processor computes. None is unknown, never zero.

    Attributes:
        memory: bytes; the most that can be bought, None where it is anything that fits.
        options: bytes of each configuration, where there are several.
        shared: whether that is the machine's own memory, which others use too.
        bandwidth: bytes/s at peak.
        bus: width of the memory's bus in bits.
        pin: bits/s of each line of it.
        rates: dense operations/s at peak by type, of `RATES`.
        link: bytes/s to a neighbour, both directions together.
    """

    name: str
    aliases: tuple[str, ...]
    maker: str
    kind: Kind
    memory: int | None
    options: tuple[int, ...]
    shared: bool
    memory_type: str
    bandwidth: float
    bus: int | None
    pin: float | None
    rates: Mapping[str, float]
    link: float | None
    year: int
    source: Source


@cache
def hardware() -> Mapping[str, Hardware]:
    """Return all entries by name, in the order of the file."""
    _, tables = facts.document("hardware.toml")
    return MappingProxyType({entry.name: entry for entry in _entries(tables)})


def find(name: str) -> Hardware:
    """Return the entry that a name means, whatever its spelling.

    Case, spaces, signs and the maker's marks do not matter: ``rtx4090``, ``NVIDIA GeForce RTX
    4090`` and ``4090`` are one.

    Raises:
        NotFoundError: for an unknown name, or one that several entries answer to; both list some.
    """
    known = _known()
    wanted = _reduced(name)
    if wanted in known:
        return known[wanted]
    if wanted and (several := _containing(wanted)):
        if len(several) == 1:
            return several[0]
        listed = ", ".join(sorted(entry.name for entry in several)[:6])
        raise NotFoundError(f"several machines are called {name!r}: {listed}; name one of them")
    names = {spelling: entry.name for spelling, entry in known.items()}
    close = nearest(wanted, names).removeprefix(" Did you mean ").removesuffix("?")
    hint = ", ".join(dict.fromkeys(names[word] for word in re.split(", | or ", close) if word))
    raise NotFoundError(
        f"no hardware is known as {name!r}."
        + (f" Nearest: {hint}." if hint else "")
        + " `this` means the machine at hand"
    )


@cache
def _known() -> Mapping[str, Hardware]:
    """Return every reduced spelling, and what it means."""
    spelled = {
        _reduced(spelling): entry
        for entry in hardware().values()
        for spelling in (entry.name, *entry.aliases)
    }
    numbers = {
        _SERIES.sub("", word): entry for word, entry in spelled.items() if entry.kind == "desktop"
    }
    return {**numbers, **spelled}


def _reduced(name: str) -> str:
    """Return what is left of a name without case, spaces, signs and marks."""
    words = re.findall(r"[a-z]+|[0-9]+(?:\.[0-9]+)?", name.lower().replace("+", " plus "))
    return "".join(word for word in words if word not in _MARKS)


def _containing(wanted: str) -> list[Hardware]:
    """Return the entries that have a spelling with these letters; digits are not cut in two."""
    before = "(?<![0-9])" if wanted[0].isdigit() else ""
    after = "(?![0-9])" if wanted[-1].isdigit() else ""
    pattern = re.compile(before + re.escape(wanted) + after)
    found = {entry.name: entry for word, entry in _known().items() if pattern.search(word)}
    return list(found.values())


def _entries(document: Row) -> Iterator[Hardware]:
    stated = cast(Mapping[str, Mapping[str, str]], document["sources"])
    sources = {key: Source(**row) for key, row in stated.items()}
    for group in cast(list[Row], document["group"]):
        shared = {key: value for key, value in group.items() if key != "entries"}
        for row in cast(list[Row], group["entries"]):
            yield _entry({**shared, **row}, sources)


def _entry(row: Row, sources: Mapping[str, Source]) -> Hardware:
    memory, bandwidth = _number(row, "memory"), _number(row, "bandwidth")
    bus, pin, link = _number(row, "bus"), _number(row, "pin"), _number(row, "link")
    if bandwidth is None:
        raise TypeError(f"hardware.toml: {row['name']} states no bandwidth")
    rates = cast(Mapping[str, float], row.get("rates", {}))
    return Hardware(
        name=str(row["name"]),
        aliases=tuple(cast(list[str], row.get("aliases", []))),
        maker=str(row["maker"]),
        kind=cast(Kind, row["kind"]),
        memory=None if memory is None else round(memory * GIB),
        options=tuple(round(size * GIB) for size in cast(list[float], row.get("options", []))),
        shared=bool(row.get("shared", False)),
        memory_type=str(row["type"]),
        bandwidth=bandwidth * 1e9,
        bus=None if bus is None else int(bus),
        pin=None if pin is None else pin * 1e9,
        rates=MappingProxyType({name: rate * 1e12 for name, rate in rates.items()}),
        link=None if link is None else link * 1e9,
        year=cast(int, row["year"]),
        source=sources[str(row["source"])],
    )


def _number(row: Row, key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"hardware.toml: {key} of {row['name']} must be a number")
    return float(value)
