"""The cards: complete references, sizes that follow from configurations, nothing invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.sizes import FILE, text
from fathom.catalog import facts, models
from fathom.catalog.facts import BASES, FIELDS
from fathom.catalog.lineage import KINDS
from fathom.catalog.makers import makers
from fathom.catalog.models import Model, figure, find, shipped
from fathom.errors import CatalogError, NotFoundError

CARDS = shipped()

# What acceptance asks of sizes: billions of parameters, to the digits written there.
FIGURES: dict[str, tuple[str, ...]] = {
    "llama-1": ("6.74", "13.0", "32.5", "65.3"),
    "llama-3-8b": ("8.03",),
    "llama-3-70b": ("70.6",),
    "llama-3.1-405b": ("405.9",),
    "llama-3.2": ("1.24", "3.21"),
    "llama-4-maverick": ("401",),
    "gemma": ("2.51", "8.54"),
    "gemma-2": ("2.61", "9.24", "27.2"),
    "phi-2": ("2.78",),
    "phi-3-mini": ("3.82", "3.82"),
    "phi-4": ("14.7",),
    "phi-4-mini": ("3.84",),
    "mistral-7b": ("7.24",),
    "mixtral-8x7b": ("46.7",),
    "mixtral-8x22b": ("141",),
    "mistral-nemo": ("12.2",),
    "qwen2": ("0.49", "1.54", "7.62", "72.7"),
    "qwen2-57b-a14b": ("57.4",),
    "qwq-32b": ("32.8",),
    "olmoe": ("6.9",),
    "phi-3.5-moe": ("41.9",),
    "deepseek-v2": ("236", "15.7"),
    "deepseek-v3": ("671",),
    "dbrx": ("132",),
    "openelm": ("0.272", "0.457", "1.08", "3.04"),
    "starcoder": ("15.5",),
    "solar-10.7b": ("10.7",),
    "dolphin-mistral": ("7.24",),
    "bge-m3": ("0.568",),
    "jamba": ("52",),
    "nemotron-4-340b": ("341",),
    "sam": ("0.0937", "0.312", "0.641"),
    "florence-2": ("0.23", "0.77"),
    "trm": ("0.007",),
}
ACTIVE = {
    "mixtral-8x7b": 12.9,
    "mixtral-8x22b": 39.2,
    "olmoe": 1.3,
    "phi-3.5-moe": 6.6,
    "deepseek-v3": 37.6,
    "dbrx": 36.5,
    "jamba": 12.1,
    "llama-4-scout": 17.2,
    "qwen2-57b-a14b": 14.2,
}
# Makers of models without weights have published these sizes, and no others.
PUBLISHED_OF_CLOSED = {
    *("gpt-3", "gemini-nano", "dolphingemma", "apple-foundation", "phi-silica", "bloomberggpt"),
    *("megalodon", "kosmos-1", "alphafold3-ligo", "earthgpt", "temporal-vlm", "meshgpt"),
}


@pytest.mark.parametrize("model", CARDS.values(), ids=CARDS)
def test_every_value_has_a_source_and_a_date(model: Model) -> None:
    assert model.facts["released"].date
    for fact in model.facts.values():
        assert ":" in fact.source and len(fact.date) >= 4 and fact.basis in BASES
    assert model.maker in makers()
    assert model.words("classes") and model.words("inputs") and model.words("outputs")
    assert model.text("openness") is not None
    for kind in KINDS:
        for parent in model.words(kind):
            assert parent in CARDS and parent != model.name


@pytest.mark.parametrize("model", CARDS.values(), ids=CARDS)
def test_nothing_is_invented_for_closed_models(model: Model) -> None:
    if not model.open:
        assert all(variant.config is None for variant in model.variants)
        sized = any(variant.parameters for variant in model.variants)
        assert not sized or model.name in PUBLISHED_OF_CLOSED
    else:
        assert model.text("licence") not in (None, "Proprietary") or "licence" in model.missing


def test_sizes_are_those_that_the_spec_computes() -> None:
    """`python tests/catalog/sizes.py` renews them."""
    assert FILE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("name", FIGURES)
def test_sizes_are_as_published(name: str) -> None:
    found = [variant.parameters for variant in CARDS[name].variants]
    for size, said in zip(found, FIGURES[name], strict=True):
        digits = len(said.partition(".")[2])
        assert size is not None
        assert round(size / 1e9, digits) == float(said)


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters(name: str) -> None:
    active = CARDS[name].variants[0].active_parameters
    assert active is not None and round(active / 1e9, 1) == ACTIVE[name]


def test_a_disagreement_with_the_stated_figure_is_told() -> None:
    (mixtral,) = CARDS["mixtral-8x7b"].variants
    assert mixtral.disagreement == "8x7B: stated 8x7B, computed 46,702,792,704 (-16.6%)"
    assert CARDS["mistral-7b"].variants[0].disagreement is None


@pytest.mark.parametrize(
    ("stated", "number"), [("7B", 7e9), ("8x7B", 56e9), ("1.3B", 1.3e9), ("110M", 110e6)]
)
def test_figures(stated: str, number: float) -> None:
    assert figure(stated) == number


@pytest.mark.parametrize("stated", ["7", "about 7B", "B", "7.B", "-7B", ""])
def test_what_is_no_figure_is_refused(stated: str) -> None:
    with pytest.raises(ValueError, match="no number of parameters"):
        figure(stated)


@pytest.mark.parametrize("key", CARDS)
def test_every_card_is_found_by_its_names(key: str) -> None:
    assert find(key).name == key
    assert find(key.upper().replace("-", " ")).name == key


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("Llama 3.3 70B", "llama-3.3"),
        ("mistralai/Mixtral-8x7B-v0.1", "mixtral-8x7b"),
        ("Mixtral-8x7B-v0.1", "mixtral-8x7b"),
        ("gpt-4o", "gpt-4o"),
    ],
)
def test_other_names(asked: str, key: str) -> None:
    assert find(asked).name == key


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"Did you mean mixtral-8x7b, .+ or .+\?"):
        find("mixtrl-8x7")


def test_missing_facts_are_listed() -> None:
    assert "parameters" in CARDS["gpt-4"].missing
    assert "parameters" not in CARDS["gpt-2"].missing
    assert set(CARDS["gpt-4"].missing) <= {*FIELDS, "parameters"}


@pytest.mark.parametrize("name", facts.entries("configs.toml"))
def test_every_configuration_is_used(name: str) -> None:
    tables = facts.entries("configs.toml")
    used = {variant.config for model in CARDS.values() for variant in model.variants}
    assert name in used | {str(table.get("like")) for table in tables.values()}
    assert "model_type" in models.configuration(name)


GOOD = """[a]
title = "A"
maker = "meta"
about = "One."
source = "arxiv:1"
date = "2024-01"
licence = "MIT"
variants = [{ name = "7B", stated = "7B" }]
"""
BROKEN = [
    ('licence = "MIT"', 'licence = "Mine"', 7, "licences.toml does not have"),
    ('licence = "MIT"', "licence = 3", 7, "must be text"),
    ('licence = "MIT"', 'colour = "red"', 7, "no field"),
    ('stated = "7B"', 'stated = "big"', 8, "no number of parameters"),
    ('stated = "7B"', 'config = "absent"', 8, "sizes.toml"),
    ('stated = "7B"', 'weight = "7B"', 8, "says nothing"),
    ('stated = "7B"', 'inputs = "text"', 8, "no list of texts"),
    ('title = "A"', "title = 3", 2, "'title' must be text"),
    ('about = "One."\n', "", 1, "'about' must be text"),
    ("variants = [{", "scores = [{", 8, "no number|no text"),
]


@pytest.mark.parametrize(("old", "new", "line", "complaint"), BROKEN)
def test_a_broken_card_names_file_line_and_field(
    old: str, new: str, line: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(content: str) -> Model:
        monkeypatch.setattr(facts, "document", lambda name: (content, {}))
        table = facts.parsed("cards/x.toml", content)["a"]
        assert isinstance(table, dict)
        return models._model("cards/x.toml", "a", table)

    from fathom.catalog import licences

    known = licences.licences()
    monkeypatch.setattr(licences, "licences", lambda: known)
    sizes = facts.entries("sizes.toml") if "config" in new else {}
    monkeypatch.setattr(facts, "entries", lambda name: sizes)
    assert read(GOOD).text("licence") == "MIT"
    with pytest.raises(CatalogError, match=complaint) as refusal:
        read(GOOD.replace(old, new))
    assert refusal.value.line == line
    assert str(refusal.value).startswith(f"cards/x.toml, line {line}: ")


def test_the_data_is_shipped_beside_the_code() -> None:
    folder = Path(models.__file__).parent
    assert {path.name for path in (folder / "cards").iterdir()} >= {"meta.toml", "others.toml"}
