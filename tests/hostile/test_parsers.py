"""Mutations of sound files: whatever the bytes, the answer is contents or an error of ours.

Longer runs, guided by coverage: ``python tests/hostile/fuzz_parsers.py gguf -max_total_time=600``.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile.parsers import PARSERS, SEEDS, survives

SLICES = st.tuples(st.integers(0, 4096), st.integers(0, 16), st.binary(max_size=16))


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=150, deadline=2000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_mutation_of_a_sound_file_is_answered(parser: str, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(SEEDS[parser]))
    for at, length, replacement in data.draw(st.lists(SLICES, max_size=4)):
        place = at % (len(content) + 1)
        content = content[:place] + replacement + content[place + length :]
    survives(parser, content)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_file_cut_at_any_byte_is_answered(parser: str) -> None:
    for seed in SEEDS[parser]:
        for length in range(0, len(seed), max(1, len(seed) // 100)):
            survives(parser, seed[:length])


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=100, deadline=2000)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_answered(parser: str, data: bytes) -> None:
    survives(parser, data)
