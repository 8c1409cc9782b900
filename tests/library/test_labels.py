"""What heads say, in words, as transformers' own pipelines say it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline

from fathom import library
from fathom.errors import ContextLengthError, RequestError, UnsupportedTaskError

TEXTS = ["the cat sat on the mat .", "Anna lives in Paris", "who is a dog ?"]
NAMES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


def opened(folder: Path) -> library.Model:
    return library.open(str(folder), dtype="float32", device="cpu")


def test_masks_are_filled_alike(bert) -> None:
    folder = bert("BertForMaskedLM")
    ours = opened(folder).fill("the cat [MASK] on the mat", top=7)
    theirs = pipeline("fill-mask", model=str(folder), device="cpu")(
        "the cat [MASK] on the mat", top_k=7
    )
    assert [one.token for one in ours] == [one["token_str"] for one in theirs]
    assert [one.probability for one in ours] == pytest.approx(
        [one["score"] for one in theirs], rel=1e-4
    )
    assert ours[0].text == theirs[0]["sequence"]


@pytest.mark.parametrize("text", ["the cat sat", "a [MASK] [MASK]"])
def test_one_mask_is_wanted(bert, text: str) -> None:
    with pytest.raises(RequestError, match=r"masks; write \[MASK\] once"):
        opened(bert("BertForMaskedLM")).fill(text)


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {0: "good", 1: "bad", 2: "so-so"}},
        {"id2label": {0: "a", 1: "b"}, "problem_type": "multi_label_classification"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
    ],
    ids=["one-of", "each", "single", "number"],
)
def test_texts_are_classified_alike(bert, config) -> None:
    folder = bert("BertForSequenceClassification", **config)
    model = opened(folder)
    reference = pipeline("text-classification", model=str(folder), device="cpu")
    for text in TEXTS:
        ours, theirs = model.classify(text), reference(text, top_k=None)
        assert [one.name for one in ours] == [one["label"] for one in theirs]
        assert [one.score for one in ours] == pytest.approx(
            [one["score"] for one in theirs], rel=1e-4, abs=1e-6
        )


def test_spans_are_tagged_alike(bert) -> None:
    folder = bert("BertForTokenClassification", id2label=NAMES)
    model = opened(folder)
    reference = pipeline(
        "token-classification", model=str(folder), aggregation_strategy="simple", device="cpu"
    )
    found = 0
    for text in TEXTS:
        ours, theirs = model.tag(text), reference(text)
        found += len(ours)
        assert [(one.label, one.start, one.end) for one in ours] == [
            (one["entity_group"], one["start"], one["end"]) for one in theirs
        ]
        assert [one.score for one in ours] == pytest.approx(
            [one["score"] for one in theirs], rel=1e-4
        )
        assert all(text[one.start : one.end] == one.text for one in ours)
    assert found


def test_answers_are_those_of_the_best_begin_and_end(bert) -> None:
    """Worked out from the reference's scores: transformers 5 has no pipeline for it."""
    folder = bert("BertForQuestionAnswering")
    question, context = "where is anna ?", "anna lives in paris . the sky is blue ."
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reference = AutoModelForQuestionAnswering.from_pretrained(folder)
    encoded = tokenizer(question, context, return_tensors="pt")
    with torch.inference_mode():
        scores = reference(**encoded)
    places = [i for i, s in enumerate(encoded.sequence_ids(0)) if s == 1]
    begin = scores.start_logits[0, places].softmax(-1)
    end = scores.end_logits[0, places].softmax(-1)
    best = max(
        (float(begin[i] * end[j]), i, j) for i in range(len(places)) for j in range(i, len(places))
    )
    start = encoded.token_to_chars(places[best[1]]).start
    stop = encoded.token_to_chars(places[best[2]]).end
    ours = opened(folder).answer(question, context)
    assert (ours.start, ours.end, ours.text) == (start, stop, context[start:stop])
    assert ours.score == pytest.approx(best[0], rel=1e-4)


@pytest.mark.parametrize("published", [None, "Sigmoid", "Identity"])
def test_documents_are_ranked_as_sentence_transformers_ranks_them(bert, published) -> None:
    from sentence_transformers import CrossEncoder

    config: dict[str, object] = {"num_labels": 1}
    if published is not None:
        module = {"Identity": "linear", "Sigmoid": "activation"}[published]
        config["sentence_transformers"] = {
            "activation_fn": f"torch.nn.modules.{module}.{published}"
        }
    folder = bert("BertForSequenceClassification", **config)
    documents = [*TEXTS, "the sky is blue and a good deal longer than all the others in the list"]
    theirs = CrossEncoder(str(folder), device="cpu").rank("who sat ?", documents)
    ours = opened(folder).rerank("who sat ?", documents, batch=3)
    assert [one.index for one in ours] == [one["corpus_id"] for one in theirs]
    assert [one.score for one in ours] == pytest.approx(
        [float(one["score"]) for one in theirs], rel=1e-4, abs=1e-6
    )
    assert all(documents[one.index] == one.document for one in ours)


CALLS = {
    "fill": lambda model: model.fill("a [MASK]"),
    "classify": lambda model: model.classify("a cat"),
    "tag": lambda model: model.tag("a cat"),
    "answer": lambda model: model.answer("who ?", "a cat"),
    "rerank": lambda model: model.rerank("who ?", ["a cat"]),
    "generate": lambda model: model.generate("a cat"),
}
ABLE = {
    "BertForMaskedLM": {"fill"},
    "BertForSequenceClassification": {"classify", "rerank"},
    "BertForTokenClassification": {"tag"},
    "BertForQuestionAnswering": {"answer"},
    "BertModel": set(),
}


@pytest.mark.parametrize("architecture", ABLE)
def test_a_task_is_done_or_refused_with_a_class_that_can(bert, architecture) -> None:
    labels = {"BertForSequenceClassification": 1, "BertForTokenClassification": 5}
    model = opened(bert(architecture, num_labels=labels.get(architecture, 2)))
    for task, call in CALLS.items():
        if task in ABLE[architecture]:
            call(model)
        else:
            with pytest.raises(UnsupportedTaskError, match=r"this model cannot .*; take an? "):
                call(model)


def test_a_classifier_of_many_labels_does_not_rank(bert) -> None:
    model = opened(bert("BertForSequenceClassification", num_labels=3))
    with pytest.raises(UnsupportedTaskError, match="take a reranker"):
        model.rerank("who ?", ["a cat"])


def test_what_is_too_long_is_refused_by_number(bert) -> None:
    model = opened(bert("BertForSequenceClassification"))
    assert model.classify("cat " * 38)
    with pytest.raises(ContextLengthError, match="41 tokens exceeds the 40"):
        model.classify("cat " * 39)
