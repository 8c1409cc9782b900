"""The classes: the table of the notes cell by cell, predicates with a twin each, sources."""

from __future__ import annotations

import re

import pytest

from fathom.catalog import classes, facts
from fathom.catalog.classes import FIELDS, SPEEDS, Traits, recognised
from fathom.catalog.models import models
from fathom.cli.main import VERBS
from fathom.errors import CatalogError, NotFoundError

# The comparison of the notes, transcribed: full name, input, output, parameters, speed, best for.
NOTED = {
    "LLM": ("Large Language Model", "text", "text", "1B-405B", "Medium", "General text tasks"),
    "VLM": (
        *("Vision Language Model", "image, text", "text", "10B-80B", "Medium"),
        "Image Q&A, captioning",
    ),
    "LVM": (
        *("Large Vision Model", "image, video", "labels, features", "300M-22B", "Fast"),
        "Image classification",
    ),
    "LMM": (
        *("Large Multimodal Model", "text, image, audio", "text, image, audio", "10B-100B+"),
        *("Slow", "Complex multimodal tasks"),
    ),
    "MLLM": (
        *("Multimodal Large Language Model", "text, image, audio", "text", "7B-70B", "Medium"),
        "Extended text generation",
    ),
    "LAM": (
        *("Large Action Model", "interface, commands", "actions, clicks", "1B-10B", "Fast"),
        "Automation, RPA",
    ),
    "SLM": (
        *("Small Language Model", "text", "text", "100M-7B", "Very Fast"),
        "Edge devices, mobile",
    ),
    "LCM": (
        *("Latent Consistency Model", "text", "image", "1B-5B", "Very Fast"),
        "Real-time image generation",
    ),
    "MLM": ("Masked Language Model", "text", "tokens", "110M-1B", "Fast", "Classification, NER"),
    "SAM": (
        *("Segment Anything Model", "image, prompt", "masks, segments", "600M", "Fast"),
        "Object segmentation",
    ),
    "MoE": (
        *("Mixture of Experts", "varies", "varies", "8x7B-141B", "Medium"),
        "Multi-task efficiency",
    ),
}
# The second list of the notes, twelve classes, and those that other pages of them describe.
LISTED = (
    *("chat", "reasoning", "MoE", "code", "VLM", "audio", "SSM", "hybrid", "embedding", "SLM"),
    *("long-context", "tool-use", "VAE", "GAN", "diffusion", "recursive", "decision"),
)
# For every class with a predicate: what is of it, and what is not for one trait.
TWINS: dict[str, tuple[Traits, Traits]] = {
    "LLM": (Traits("LLM"), Traits("SLM")),
    "SLM": (Traits("SLM"), Traits("LLM")),
    "MLM": (Traits("classifier"), Traits("embedding")),
    "MoE": (Traits("MoE"), Traits("LLM")),
    "SSM": (Traits("SSM"), Traits("hybrid")),
    "hybrid": (Traits("hybrid"), Traits("SSM")),
    "embedding": (Traits("embedding"), Traits("MLM")),
    "seq2seq": (Traits("seq2seq"), Traits("SLM")),
    "VLM": (
        Traits(inputs=("image", "text"), outputs=("text",)),
        Traits(inputs=("image", "text", "audio"), outputs=("text",)),
    ),
    "LVM": (
        Traits(inputs=("image",), outputs=("features",)),
        Traits(inputs=("image", "text"), outputs=("features",)),
    ),
    "LMM": (Traits(inputs=("text", "image", "audio")), Traits(inputs=("text", "image"))),
    "MLLM": (
        Traits(inputs=("text", "image"), outputs=("text",)),
        Traits(inputs=("text", "image"), outputs=("text", "image")),
    ),
    "LAM": (Traits(outputs=("actions",)), Traits(outputs=("text",))),
    "SAM": (
        Traits(inputs=("image",), outputs=("masks",)),
        Traits(inputs=("image",), outputs=("labels",)),
    ),
    "chat": (Traits(template=True), Traits(template=False)),
    "audio": (Traits(inputs=("audio",)), Traits(inputs=("text",))),
    "long-context": (Traits(context=100_000), Traits(context=99_999)),
    "VAE": (Traits(outputs=("latents",)), Traits(outputs=("image",))),
    "diffusion": (
        Traits(inputs=("text",), outputs=("image",)),
        Traits(inputs=("text",), outputs=("image", "text")),
    ),
    "video": (Traits(inputs=("video",)), Traits(inputs=("image",))),
    "3d": (Traits(outputs=("mesh",)), Traits(outputs=("image",))),
    "detection": (Traits(outputs=("boxes",)), Traits(outputs=("masks",))),
    "structure": (Traits(outputs=("structure",)), Traits(outputs=("sequence",))),
}
KINDS = (  # what `spec.classes` answers
    *("LLM", "SLM", "MoE", "SSM", "hybrid", "embedding", "MLM", "reranker", "classifier"),
    *("tagger", "extractive QA", "seq2seq"),
)


@pytest.mark.parametrize("name", NOTED)
def test_the_comparison_of_the_notes_cell_by_cell(name: str) -> None:
    entry = classes.find(name)
    fields = ("inputs", "outputs", "size", "speed", "best_for")
    assert (entry.title, *map(entry.text, fields)) == NOTED[name]


@pytest.mark.parametrize("name", LISTED)
def test_every_listed_class_has_an_entry(name: str) -> None:
    assert classes.find(name).name == name


@pytest.mark.parametrize("name", classes.classes())
def test_every_value_has_a_source_and_a_date(name: str) -> None:
    entry = classes.classes()[name]
    assert set(FIELDS) - {"verdict"} <= set(entry.facts)
    for fact in entry.facts.values():
        assert fact.source and re.fullmatch(r"\d{4}(-\d{2}){0,2}", fact.date)
        assert fact.source == "notes" or "://" in facts.address(fact.source)
    assert entry.facts["speed"].value in SPEEDS
    assert all(example in models() for example in entry.listed("examples"))


@pytest.mark.parametrize("name", classes.classes())
def test_a_verb_that_runs_exists(name: str) -> None:
    entry = classes.classes()[name]
    program, verb, *_ = entry.text("verb").split()
    assert not entry.runs or (program == "fathom" and verb in VERBS)


def test_every_class_of_a_card_has_an_entry() -> None:
    used = {name for model in models().values() for name in model.words("classes")}
    assert used <= set(classes.classes())


def test_every_predicate_has_its_twins() -> None:
    assert {name for name, entry in classes.classes().items() if entry.when} == set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_a_predicate_takes_one_and_refuses_its_twin(name: str) -> None:
    accepted, refused = TWINS[name]
    assert name in recognised(accepted)
    assert name not in recognised(refused)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_spec_is_of_some_class(kind: str) -> None:
    assert recognised(Traits(kind))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("mixture of experts", "MoE"),
        ("moe", "MoE"),
        ("Small Language Model", "SLM"),
        ("function calling", "tool-use"),
        ("long context", "long-context"),
    ],
)
def test_a_class_answers_to_its_other_names(asked: str, name: str) -> None:
    assert classes.find(asked).name == name


def test_an_unknown_class_offers_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"no class 'difusion'.*Did you mean diffusion"):
        classes.find("difusion")


GOOD = {name: "x" for name in FIELDS} | {
    "title": "X",
    "source": "arxiv:1",
    "date": "2025",
    "speed": "Fast",
    "size": ["1B", "2B"],
    **{name: ["x"] for name in ("inputs", "outputs", "strengths", "weaknesses", "examples")},
}


def test_a_complete_entry_is_read() -> None:
    entry = classes._class("LLM", GOOD)
    assert entry.text("size") == "1B-2B" and entry.when is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"speed": "quick"}, "'speed' is 'quick', which is none of Very Fast"),
        ({"inputs": "text"}, "'inputs' must be a list"),
        ({"colour": "red"}, "'colour' is no field"),
        ({"when": {"colour": "red"}}, "'when' may hold kinds"),
        ({"date": "May"}, "has the date 'May'"),
        ({"focus": None}, "'focus' must be text"),
    ],
)
def test_a_fault_names_file_and_field(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(complaint)) as caught:
        classes._class("LLM", GOOD | change)
    assert caught.value.file == "classes.toml"
    assert caught.value.line is not None


def test_a_missing_field_is_named() -> None:
    with pytest.raises(CatalogError, match="'metric' is missing"):
        classes._class("LLM", {key: value for key, value in GOOD.items() if key != "metric"})
