"""The generated pages are what the program says now; what they conclude follows from it."""

from __future__ import annotations

import pytest

from catalog import dense_moe_ssm, reasoning_page
from catalog.dense_moe_ssm import DTYPE, LENGTHS, SAME_SIZE, decoder, growth
from fathom.catalog.evidence import Entry
from fathom.catalog.models import models
from fathom.catalog.reasoning import Turn, _family, account, families
from fathom.errors import CatalogError
from fathom.planning import costs
from fathom.spec.decoder import Decoder
from fathom.spec.parts import active, count


@pytest.mark.parametrize("page", [dense_moe_ssm, reasoning_page])
def test_a_page_says_what_the_program_says(page) -> None:
    """Its head names the command that writes it anew."""
    assert page.FILE.read_text(encoding="utf-8") == page.text()


@pytest.fixture(scope="module")
def designs() -> dict[str, Decoder]:
    return {name: decoder(config) for name, config in SAME_SIZE.items()}


def test_the_designs_are_of_one_size(designs: dict[str, Decoder]) -> None:
    for spec in designs.values():
        assert count(spec) == pytest.approx(7.3e9, rel=0.01)
        assert spec.vocabulary == 65_024
    assert active(designs["mixture"]) < count(designs["mixture"]) / 5


def test_attention_s_state_grows_and_a_recurrence_s_does_not(designs: dict[str, Decoder]) -> None:
    short, _, long = LENGTHS
    grown = {
        name: costs.state_bytes(spec, DTYPE, long) / costs.state_bytes(spec, DTYPE, short)
        for name, spec in designs.items()
    }
    assert grown["state space"] == 1
    assert grown["dense"] == grown["mixture"] == long / short
    assert 1 < grown["hybrid"] < long / short


def test_reading_is_linear_without_attention(designs: dict[str, Decoder]) -> None:
    assert growth(designs["state space"], LENGTHS[-1]) == pytest.approx(1)
    assert 1 < growth(designs["hybrid"], LENGTHS[-1]) < growth(designs["dense"], LENGTHS[-1])


def test_the_dense_model_reads_more_state_than_weights(designs: dict[str, Decoder]) -> None:
    spec = designs["dense"]
    read = costs.weight_bytes_read(spec, costs.computed_in(DTYPE))
    assert costs.state_bytes(spec, DTYPE, LENGTHS[-1]) > read


def test_an_account_of_tokens() -> None:
    """1 M prompt at 2 dollars, 2 M thought and 1 M answer at 10."""
    found = account(Turn(prompt=10**6, thought=2 * 10**6, answer=10**6), (2.0, 10.0))
    assert (found.total, found.thought) == (32.0, 20.0)
    assert account(Turn(10**6, 0, 0), (2.0, 10.0)).thought == 0


@pytest.mark.parametrize("name", families())
def test_a_family_has_a_card_or_says_none(name: str) -> None:
    family = families()[name]
    assert family.card is None or "reasoning" in models()[family.card].words("classes")
    assert family.source and family.date
    assert family.price is None or family.price[0] < family.price[1]


def test_a_price_must_be_two_numbers() -> None:
    words = {key: "x" for key in ("title", "marks", "shown", "billed", "budget", "switch")}
    good = {**words, "later": "x", "source": "x", "date": "2025", "price": {"in": 1.0, "out": 2.0}}
    assert _family(Entry("reasoning.toml", "o1", good)).price == (1.0, 2.0)
    with pytest.raises(CatalogError, match=r"reasoning.toml, line \d+: o1: 'price' must be"):
        _family(Entry("reasoning.toml", "o1", {**good, "price": {"in": "free"}}))
