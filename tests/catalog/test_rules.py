"""Rules of the notes, cell by cell against a transcription; each with evidence and verdict."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest

from fathom.catalog import constraints, criteria, evidence, guides, rules, tasks
from fathom.catalog.classes import classes
from fathom.catalog.evidence import APART, STATES, Entry
from fathom.catalog.models import GRADES, models
from fathom.catalog.results import results
from fathom.cli.main import VERBS
from fathom.errors import CatalogError, NotFoundError, RequestError

ROOT = Path(__file__).resolve().parents[2]
# The notes: best and second choice for eight tasks.
TASKS = {
    "Chat/Dialogue": (["LLM"], ["SLM"]),
    "Image Captioning": (["VLM"], ["MLLM"]),
    "Image Generation": (["LCM", "diffusion"], ["MLLM"]),
    "Image Segmentation": (["SAM"], ["LVM"]),
    "Web Automation": (["LAM"], ["LLM (with tools)"]),
    "Classification": (["MLM"], ["SLM"]),
    "Multi-task": (["MoE"], ["several (specialised models, one per task)"]),
    "Video Understanding": (["LMM"], ["VLM (frame by frame)"]),
}
# The notes: four ordered lists by constraint.
CONSTRAINTS = {
    "limited compute": ["SLM", "LLM (quantised to 4 bits)", "MLM (for specific tasks)"],
    "real-time": ["LCM (for images)", "SLM (for text)", "SAM (for segmentation)"],
    "highest quality": ["LLM (of the frontier)", "LMM (for multimodal)", "MoE (full size)"],
    "on-device/privacy": ["SLM", "quantised models of any class", "MLM"],
}
# The notes: four needs for a large model, four for a small one.
NEEDS = {
    "complex reasoning": "LLM",
    "rich context": "LLM",
    "multiple domains": "LLM",
    "high accuracy critical": "LLM",
    "resource constraints": "SLM",
    "low latency required": "SLM",
    "single domain/task": "SLM",
}
# The notes: GB of weights in 16 bits and in 4.
MEMORY = {1: (2, 0.5), 7: (14, 4), 13: (26, 7), 70: (140, 35), 405: (810, 200)}


@pytest.mark.parametrize("name", TASKS)
def test_the_eight_tasks_of_the_notes(name: str) -> None:
    task = tasks.find(name)
    assert (list(map(str, task.best)), list(map(str, task.second))) == TASKS[name]
    assert task.noted


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_four_lists_of_the_notes(name: str) -> None:
    found = constraints.find(name)
    assert list(map(str, found.choices)) == CONSTRAINTS[name]
    assert found.noted


@pytest.mark.parametrize("name", NEEDS)
def test_when_large_and_when_small(name: str) -> None:
    found = constraints.find(name)
    assert [str(choice) for choice in found.choices] == [NEEDS[name]]
    assert found.of == "LLM or SLM"


def test_the_comparison_names_the_same_needs() -> None:
    rows = {str(row["need"]): row["class"] for row in rules.find("llm-slm").rows}
    assert len(rows) == 8
    for name, model_class in rows.items():
        assert constraints.find(name).choices[0].model_class == model_class


@pytest.mark.parametrize(
    ("inputs", "model_class"),
    [
        (("image",), "LVM"),
        (("video",), "LVM"),
        (("image", "text"), "VLM"),
        (("text", "image", "audio"), "LMM"),
        (("text", "image", "audio", "video"), "LMM"),
        (("text",), "LLM"),
    ],
)
def test_the_decision_matrix(inputs: tuple[str, ...], model_class: str) -> None:
    assert rules.by_modalities(inputs)[0].model_class == model_class


def test_inputs_without_a_rule_are_refused() -> None:
    with pytest.raises(NotFoundError, match="No rule for the inputs smell"):
        rules.by_modalities(["smell"])


@pytest.mark.parametrize("row", rules.memory_table(), ids=lambda row: str(row.parameters))
def test_memory_within_the_rounding_of_the_notes(row: rules.Weights) -> None:
    half, four = MEMORY[row.parameters // 10**9]
    assert (row.noted_half, row.noted_four) == (half, four)
    assert row.half / 1e9 == half
    assert row.four / 1e9 == pytest.approx(four, rel=0.13)  # 3.5 is noted as 4
    assert row.four < row.blocks < row.half


def test_where_the_notes_draw_borders_of_size() -> None:
    borders = {row["class"]: (row["low"], row["high"]) for row in rules.find("sizes").rows}
    assert borders == {
        "SLM": ("100M", "7B"),
        "LLM": ("7B", "405B"),
        "MoE": ("8x7B", "8x7B"),
        "LMM": ("10B", "1.7T"),
    }


@pytest.mark.parametrize(
    ("rule", "answers"),
    [
        ("mllm-lmm", ["MLLM", "LMM"]),
        ("mlm-llm", ["MLM", "LLM"]),
        ("moe-dense", ["LLM", "MoE"]),
        ("lcm-diffusion", ["diffusion", "LCM"]),
        ("generators", ["GAN", "VAE", "diffusion"]),
    ],
)
def test_pairs_of_classes(rule: str, answers: list[str]) -> None:
    assert [row["class"] for row in rules.find(rule).rows] == answers


def test_a_mixture_is_smaller_than_its_name() -> None:
    """The notes say 56 B and 14 B; the published configuration says otherwise."""
    row = next(row for row in rules.find("moe-dense").rows if row["class"] == "MoE")
    variant = models()[str(row["model"])].variants[0]
    assert (row["total"], row["active"]) == ("56B", "14B")
    assert (round(variant.parameters / 1e9, 1), round(variant.active_parameters / 1e9, 1)) == (
        46.7,
        12.9,
    )


ENTRIES = [
    *tasks.tasks().values(),
    *constraints.constraints().values(),
    *rules.rules().values(),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_rule_has_evidence_a_verdict_and_known_classes(entry) -> None:
    assert getattr(entry, "reason", entry.title) and entry.evidence
    assert entry.verdict.state in STATES and entry.verdict.says and entry.verdict.source
    for piece in entry.evidence:
        assert piece.grade in GRADES
        assert re.fullmatch(r"\d{4}(-\d{2}){0,2}", piece.date)
    choices = [*getattr(entry, "best", ()), *getattr(entry, "second", ())]
    for choice in [*choices, *getattr(entry, "choices", ())]:
        assert choice.model_class in APART or choice.model_class in classes()


@pytest.mark.parametrize("task", tasks.tasks().values(), ids=lambda task: task.name)
def test_a_task_names_known_classes_and_tests(task: tasks.Task) -> None:
    tested = {result.test for listed in results().values() for result in listed}
    scored = {score.test for model in models().values() for score in model.scores}
    assert set(task.cards) <= set(classes())
    assert task.changes
    assert set(task.tests[:1]) <= tested | scored
    no_model_first = task.best[0].model_class == "none"
    assert bool(task.without) == no_model_first


PAIRS = [(name, other) for name, one in constraints.constraints().items() for other in one.against]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_contradictions_name_the_pair(one: str, other: str) -> None:
    for pair in ((one, other), (other, one)):
        with pytest.raises(RequestError, match="contradict") as caught:
            constraints.require_joined([constraints.find(name) for name in pair])
        assert one in str(caught.value) and other in str(caught.value)


def test_constraints_that_agree_are_joined() -> None:
    constraints.require_joined([constraints.find(name) for name in ("privacy", "low latency")])


@pytest.mark.parametrize("find", [tasks.find, constraints.find, rules.find, guides.find])
def test_unknown_names_offer_the_nearest(find) -> None:
    known = {"tasks": "segmentatio", "constraints": "real-tim", "rules": "memor", "guides": "lama"}
    with pytest.raises(NotFoundError, match="Did you mean"):
        find(known[find.__module__.rpartition(".")[2]])


def test_no_word_means_two_things() -> None:
    for known in (tasks.tasks(), constraints.constraints()):
        named = [evidence.plain(name) for name in known]
        words = [{evidence.plain(word) for word in entry.words} for entry in known.values()]
        for (name, own), others in ((pair, words) for pair in zip(known, words, strict=True)):
            elsewhere = chain.from_iterable(other for other in others if other is not own)
            assert not own & set(elsewhere), name
            assert not own & (set(named) - {evidence.plain(name)}), name


@pytest.mark.parametrize("key", results(), ids=" ".join)
def test_results_are_of_a_variant_that_exists(key: tuple[str, str]) -> None:
    model, variant = key
    assert variant in {one.name for one in models()[model].variants}
    for result in results()[key]:
        assert result.grade in GRADES and result.of and result.source
        assert 0 <= result.value <= 100


def test_no_result_is_inherited() -> None:
    """What the Instruct of 8 B reached says nothing of the first Llama 3 of 8 B."""
    assert ("llama-3.1", "8B") in results()
    assert ("llama-3-8b", "8B") not in results()


SHOWN = [*criteria.criteria().values(), *criteria.tables().values()]


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.name)
def test_what_is_shown_somewhere_is(entry: criteria.Shown) -> None:
    """Its words are understood by the verb, whatever stands for a name or a number."""
    program, *words = entry.shown.split() or [""]
    if program != "fathom":
        assert not entry.shown or (ROOT / entry.shown).is_file()
        return
    module = import_module(VERBS[words[0]].module)
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.arguments(parser)
    parser.parse_args([{"N": "1"}.get(word, word) for word in words[1:]])


GUIDES = list(guides.guides().values())


def test_the_eleven_guides_of_the_notes() -> None:
    assert list(guides.guides()) == [
        *("embeddinggemma", "trm", "chatgpt", "gemini", "claude", "mistral", "llama"),
        *("midjourney", "stable-diffusion", "code-llama", "ollm"),
    ]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_a_guide_stands_on_cards_and_evidence(guide: guides.Guide) -> None:
    assert 2 <= len(guide.sides) <= 5 and len(guide.rules) >= 2 and len(guide.rows) >= 3
    sides = {side.name for side in guide.sides}
    assert any(rule.choose in sides for rule in guide.rules)
    for side in guide.sides:
        if side.card is not None:
            card = models()[side.card]
            assert side.size is None or side.size in {one.name for one in card.variants}
    for label, cells in guide.carded():
        assert label and len(cells) == len(guide.sides)
    for piece in [row.evidence for row in guide.rows] + [rule.evidence for rule in guide.rules]:
        assert piece.grade in GRADES and piece.source and piece.date


def test_a_fault_names_file_and_field() -> None:
    entry = Entry("tasks.toml", "chat", {"verdict": {"state": "maybe"}, "best": "LLM"})
    with pytest.raises(CatalogError, match=r"tasks.toml, line \d+: chat: 'verdict' has the state"):
        entry.verdict()
    with pytest.raises(CatalogError, match="'best' must be a list of classes"):
        entry.choices("best")
