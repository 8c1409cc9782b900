"""The table of hardware: every entry sourced, in range and consistent, and found by its names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.catalog import hardware as module
from fathom.catalog.facts import document
from fathom.catalog.hardware import GIB, RATES, Hardware, Kind, find, hardware
from fathom.errors import NotFoundError

NAMES = list(hardware())
ENTRIES = list(hardware().values())

# What other people say who keep such a table: bandwidth in GB/s from the READMEs and data files of
# estimators of the field, each looked up apart from ours. (Where one of theirs disagreed with the
# maker, as 336 for an RTX 5060, it is left out.)
OTHERS = {
    "NVIDIA GeForce RTX 5090": 1792,
    "RTX 5070 Ti": 896,
    "RTX 4080 SUPER": 736,
    "RTX 3080 Ti": 912,
    "RTX 2080 SUPER": 496,
    "GTX 1660 Ti": 288,
    "Tesla T4": 320,
    "A100 SXM 80GB": 2039,
    "H100 SXM": 3350,
    "AMD Instinct MI210": 1638,
    "MI300X": 5300,
    "RX 7900 XTX": 960,
    "RX 6700 XT": 384,
    "Apple M1": 68.25,
    "Apple M4 Pro": 273,
    "Apple M5 Max": 614,
    "Strix Halo": 256,
    "DGX Spark": 273,
    "TPU v5p": 2765,
    "Gaudi3": 3700,
    "Amazon Trainium2": 2900,
}
_TYPE_YEARS = {"GDDR5": 2012, "HBM": 2015, "GDDR6": 2018, "HBM3": 2022, "GDDR7": 2025}


def test_there_are_about_a_hundred_and_fifty_or_more() -> None:
    assert len(ENTRIES) >= 150


def test_every_kind_and_rate_is_in_use() -> None:
    assert {entry.kind for entry in ENTRIES} == set(get_args(Kind))
    assert {rate for entry in ENTRIES for rate in entry.rates} == set(RATES)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_an_entry_is_in_range(entry: Hardware) -> None:
    assert entry.memory is None or GIB <= entry.memory <= 1024 * GIB
    assert 10e9 <= entry.bandwidth <= 10e12
    assert entry.link is None or 25e9 <= entry.link <= 3e12
    assert 2014 <= entry.year <= 2026
    assert all(0 < rate <= 2e16 for rate in entry.rates.values())
    assert not entry.options or (max(entry.options) == entry.memory and len(entry.options) > 1)
    assert sorted(entry.options) == list(entry.options)
    assert entry.shared == (entry.kind in ("embedded", "unified", "processor"))
    for kind, year in _TYPE_YEARS.items():
        assert not entry.memory_type.startswith(kind) or entry.year >= year


@pytest.mark.parametrize("entry", [one for one in ENTRIES if one.bus], ids=lambda one: one.name)
def test_bandwidth_is_bus_times_pin(entry: Hardware) -> None:
    assert entry.bus and entry.pin
    # Makers round: Apple says 400 where 512 lines of 6.4 Gbit/s give 409.6.
    assert entry.bus / 8 * entry.pin == pytest.approx(entry.bandwidth, rel=0.025)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_narrower_types_are_no_slower(entry: Hardware) -> None:
    rates = entry.rates
    for wide, narrow in (
        ("float32", "tf32"),
        ("tf32", "bfloat16"),
        ("bfloat16", "float16"),
        ("float32", "float16"),
        ("bfloat16", "fp8"),
        ("float16", "int8"),
        ("fp8", "fp4"),
    ):
        if wide in rates and narrow in rates:
            assert rates[narrow] >= rates[wide] * 0.999
    assert set(rates) <= set(RATES)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_an_entry_says_where_its_figures_come_from(entry: Hardware) -> None:
    assert len(entry.source.title) > 10
    assert re.fullmatch(r"https://[^\s]+", entry.source.url)
    assert re.fullmatch(r"20[12][0-9](-[01][0-9])?", entry.source.date)
    assert int(entry.source.date[:4]) >= entry.year - 1


def test_every_source_is_used() -> None:
    text, _ = document("hardware.toml")
    stated = re.findall(r"^(\w+) = \{ title", text, re.MULTILINE)
    assert [key for key in stated if f'source = "{key}"' not in text] == []


def test_no_two_entries_share_a_spelling() -> None:
    spellings = Counter(
        reduced
        for entry in ENTRIES
        for reduced in {module._reduced(spelling) for spelling in (entry.name, *entry.aliases)}
    )
    assert [spelling for spelling, count in spellings.items() if count > 1] == []
    assert len(NAMES) == len({name.lower() for name in NAMES})


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_an_entry_is_found_by_each_of_its_names_in_any_dress(entry: Hardware) -> None:
    for name in (entry.name, *entry.aliases):
        assert find(name) is entry
        maker = entry.maker if entry.maker.lower() in module._MAKERS else ""
        assert find(f" {maker} {name.upper()} ") is entry
        assert find(name.lower().replace(" ", "-").replace(",", "")) is entry


@pytest.mark.parametrize(("name", "gigabytes"), OTHERS.items())
def test_bandwidth_is_what_others_say(name: str, gigabytes: float) -> None:
    assert find(name).bandwidth == pytest.approx(gigabytes * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("4090", "GeForce RTX 4090"),
        ("4070", "GeForce RTX 4070"),
        ("7900 xtx", "Radeon RX 7900 XTX"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),  # as the driver says it
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("Tesla V100-SXM2-32GB", "V100 SXM2 32GB"),
        ("m3max 40", "M3 Max, 40-core GPU"),
    ],
)
def test_a_usual_spelling_is_understood(said: str, name: str) -> None:
    assert find(said).name == name


@pytest.mark.parametrize("several", ["A100", "h100", "M3 Max", "RTX 6000", "MI300"])
def test_a_name_of_several_lists_them(several: str) -> None:
    with pytest.raises(NotFoundError, match=r"several machines are called .*; name one of them"):
        find(several)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("rtx 4091", "RTX 4090"), ("mi30x", "MI300X"), ("gaudy 3", "Gaudi 3"), ("tpu v8", "TPU v")],
)
def test_an_unknown_name_lists_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(NotFoundError, match=f"Nearest: .*{meant}"):
        find(typed)


@given(st.text(max_size=300))
def test_any_text_is_found_or_refused_in_one_line(text: str) -> None:
    try:
        assert find(text).name in hardware()
    except NotFoundError as error:
        assert "this" in str(error) or "several" in str(error)


def test_the_table_loads_without_torch() -> None:
    program = "import sys; from fathom.catalog.hardware import find; find('h200')"
    program += "; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
