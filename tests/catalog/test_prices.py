"""Prices: a mix of tokens costed by hand, kept between calls, and where sources disagree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.catalog import prices
from fathom.catalog.models import find, shipped
from fathom.catalog.prices import Offer, Rate, Workload, quote, workload
from fathom.errors import RequestError

PLAIN = {"input": Rate(2.0), "output": Rate(8.0), "cached": Rate(0.5)}


def _offer(**rates: Rate) -> Offer:
    return Offer("host", "model", rates or PLAIN, "made up", "2026-01-01")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in=1M,out=200k", Workload(input=10**6, output=200_000)),
        ("in=1.5M, cached=2B", Workload(input=1_500_000, cached=2 * 10**9)),
        ("input=1_000,output=7,reasoning=3k", Workload(input=1000, output=7, reasoning=3000)),
        ("out=1,requests=10", Workload(output=1, requests=10)),
    ],
)
def test_a_workload_is_read(text: str, expected: Workload) -> None:
    assert workload(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no tokens"),
        ("in=0", "no tokens"),
        ("inn=1M", "Did you mean"),
        ("in=1X", "no number of tokens"),
        ("in=", "no number of tokens"),
        ("in=-1", "below zero"),
        ("in=nan", "below zero|no number"),
        ("in=inf", "below zero|no number"),
        ("in=1,in=2", "twice"),
        ("in=1,input=2", "twice"),
        ("in=1,requests=0", "above zero"),
    ],
)
def test_what_is_no_workload_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        workload(text)


def test_a_cost_is_the_sum_of_its_terms() -> None:
    load = Workload(input=10**6, output=200_000, cached=4 * 10**6, reasoning=50_000)
    (found,) = quote(load, [_offer()], {})
    assert found.terms == {"input": 2.0, "cached": 2.0, "output": 1.6, "reasoning": 0.4}
    assert found.total == pytest.approx(6.0)


def test_cached_input_without_a_price_is_charged_as_input() -> None:
    bare = _offer(input=Rate(2.0), output=Rate(8.0))
    (found,) = quote(Workload(cached=10**6), [bare], {})
    assert found.total == 2.0
    assert found.notes == ("no price for cached input: charged as input",)


def test_long_requests_reach_the_next_tier() -> None:
    tiered = _offer(input=Rate(1.0, ((200_000, 2.0),)), output=Rate(4.0))
    load = {"input": 10**6, "output": 10**5}
    costs = [
        quote(Workload(**load, requests=requests), [tiered], {})[0].total for requests in (1, 5, 10)
    ]
    assert costs == pytest.approx([2.4, 1.4, 1.4])  # exactly 200,000 is still the lower tier
    (unsaid,) = quote(Workload(**load), [tiered], {})
    assert unsaid.total == pytest.approx(1.4) and "200,000" in unsaid.notes[0]


def test_an_offer_that_cannot_answer_is_left_out() -> None:
    embedding = _offer(input=Rate(0.02))
    assert quote(Workload(input=1, output=1), [embedding], {}) == ()
    assert len(quote(Workload(input=1), [embedding], {})) == 1


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=9),
    st.integers(1, 10**9),
    st.integers(0, 10**9),
)
def test_cheapest_first_and_never_less_for_more(rates, tokens: int, more: int) -> None:
    asked = [
        Offer("h", str(at), {"input": Rate(i), "output": Rate(o)}, "s", "2026")
        for at, (i, o) in enumerate(rates)
    ]
    costs = [q.total for q in quote(Workload(input=tokens), asked, {})]
    assert costs == sorted(costs)
    dearer = [q.total for q in quote(Workload(input=tokens + more, output=more), asked, {})]
    assert all(high >= low for low, high in zip(costs, dearer, strict=True))


@pytest.fixture(scope="module")
def offers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Offer, ...]:
    return prices.offers(tmp_path_factory.mktemp("prices"))


def test_the_kept_file_says_what_the_package_says(tmp_path: Path) -> None:
    first = prices.packaged_offers(tmp_path)
    (kept,) = tmp_path.glob("prices-*.json")
    assert prices.packaged_offers(tmp_path) == first == prices.packaged_offers(None)
    kept.write_text("{ damaged")
    assert prices.packaged_offers(tmp_path) == first
    assert len(json.loads(kept.read_text())) == len(first)


def test_rates_are_the_packages_own(offers: tuple[Offer, ...]) -> None:
    """The package's own calculator, on one model with three kinds of tokens."""
    from genai_prices import Usage, calc_price

    (offer,) = [offer for offer in offers if offer.name == "openai/gpt-4o"]
    usage = Usage(input_tokens=3_000_000, cache_read_tokens=1_000_000, output_tokens=500_000)
    theirs = calc_price(usage, model_ref="gpt-4o", provider_id="openai").total_price
    load = Workload(input=2_000_000, cached=1_000_000, output=500_000)
    assert quote(load, [offer], {})[0].total == pytest.approx(float(theirs))


@pytest.mark.parametrize(
    "name", sorted({name for model in shipped().values() for name in model.words("api")})
)
def test_every_hosting_on_a_card_has_a_price(name: str, offers: tuple[Offer, ...]) -> None:
    by_unit = {"mistral/mistral-ocr-2503", "groq/whisper-large-v3"}  # pages, hours: not tokens
    known = {offer.name for offer in offers} | set(prices.flat()) | by_unit
    assert name in known


def test_ours_do_not_shadow_the_packages(offers: tuple[Offer, ...]) -> None:
    names = [offer.name for offer in offers]
    assert len(names) == len(set(names))


def test_disagreements_name_both_sources(offers: tuple[Offer, ...]) -> None:
    same = [offer for offer in prices.others() if offer.name in {o.name for o in offers}]
    assert prices.disagreements(same) == ()
    twisted = [Offer(o.provider, o.model, {"input": Rate(99.0)}, "other", "2026") for o in same]
    apart = prices.disagreements(twisted)
    assert {each.offer for each in apart} == {o.name for o in same if "input" in o.rates}
    assert all(len({source for source, _, _ in each.told}) == 2 for each in apart)


def test_the_offers_of_a_card(tmp_path: Path) -> None:
    found = prices.of_model(find("claude-4"), tmp_path)
    assert {offer.model for offer in found} == {"claude-opus-4-0", "claude-sonnet-4-0"}
    assert prices.of_model(find("bert"), tmp_path) == ()


def test_reading_prices_twice_does_not_import_the_package(tmp_path: Path) -> None:
    prices.packaged_offers(tmp_path)
    code = (
        "import sys, pathlib; from fathom.catalog import prices; "
        f"prices.packaged_offers(pathlib.Path({str(tmp_path)!r})); "
        "print('genai_prices' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
