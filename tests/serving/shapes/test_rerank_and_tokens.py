"""Ranking in three shapes on one path, and token ids in two."""

from __future__ import annotations

import pytest

from fathom.serving.shapes.rerank import PATHS
from serving.shapes.conftest import Served

RERANK = {"model": "tiny", "query": "what", "documents": ["a", "ccc", {"text": "bb"}]}


@pytest.mark.parametrize("path", PATHS)
def test_documents_are_ordered(served: Served, path: str) -> None:
    found = served.http.post(path, json={**RERANK, "top_n": 2, "return_documents": True}).json()
    assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [(1, 3), (2, 2)]
    assert found["results"][0]["document"] == {"text": "ccc"}
    assert found["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    many = served.http.post(path, json={**RERANK, "top_n": 100}).json()
    assert len(many["results"]) == 3


@pytest.mark.parametrize("path", PATHS)
def test_texts_are_ordered_as_tei_does(served: Served, path: str) -> None:
    asked = {"model": "tiny", "query": "what", "texts": ["a", "ccc"]}
    assert served.http.post(path, json=asked).json() == [
        {"index": 1, "score": 3.0},
        {"index": 0, "score": 1.0},
    ]
    told = served.http.post(path, json={**asked, "return_text": True}).json()
    assert [one["text"] for one in told] == ["ccc", "a"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"documents": []},
        {"documents": "a"},
        {"documents": [1]},
        {"documents": None},
        {"query": ""},
        {"top_n": 0},
        {"texts": ["a"]},
        {"model": None},  # there are several
    ],
)
def test_what_cannot_be_ranked_is_refused(served: Served, wrong: dict[str, object]) -> None:
    found = served.http.post("/v1/rerank", json={**RERANK, **wrong})
    assert found.status_code == 400
    assert found.json()["error"]["message"]


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_texts_become_tokens_and_tokens_texts(served: Served, prefix: str) -> None:
    def post(path: str, **body: object) -> dict[str, object]:
        found: dict[str, object] = served.http.post(
            prefix + path, json={"model": "tiny", **body}
        ).json()
        return found

    assert post("/tokenize", content="hi")["tokens"] == [104, 105]  # as llama.cpp
    assert post("/tokenize", content="hi", add_special=True)["tokens"] == [1, 104, 105]
    assert post("/tokenize", prompt="hi")["tokens"] == [1, 104, 105]  # as vLLM
    assert post("/tokenize", prompt="hi", add_special_tokens=False)["count"] == 2
    pieces = post("/tokenize", content="hi", with_pieces=True)["tokens"]
    assert pieces == [{"id": 104, "piece": "h"}, {"id": 105, "piece": "i"}]
    counted = post("/tokenize", messages=[{"role": "user", "content": "hi"}])
    assert counted == {"count": 42, "max_model_len": 8192}
    assert post("/detokenize", tokens=[104, 105]) == {"content": "hi", "prompt": "hi"}
    assert "error" in post("/tokenize")
    assert "error" in post("/detokenize", tokens=[-1])
    assert "error" in post("/detokenize", tokens=[999])
