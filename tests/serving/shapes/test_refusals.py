"""What no shape takes: broken JSON, fields out of bounds, programs. Each has a twin it takes."""

from __future__ import annotations

import json

import pytest

from fathom.serving.schemas import REFUSED
from serving.shapes.conftest import Served

HELLO = [{"role": "user", "content": "Hello"}]
# A body that each path takes.
BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"model": "tiny", "messages": HELLO},
    "/v1/completions": {"model": "tiny", "prompt": "Hello"},
    "/v1/responses": {"model": "tiny", "input": "Hello"},
    "/v1/embeddings": {"model": "tiny", "input": "Hello"},
    "/v1/messages": {"model": "tiny", "messages": HELLO, "max_tokens": 9},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": HELLO},
    "/api/chat": {"model": "tiny", "messages": HELLO},
    "/api/generate": {"model": "tiny", "prompt": "Hello"},
    "/api/show": {"model": "tiny"},
    "/api/embed": {"model": "tiny", "input": "Hello"},
    "/api/embeddings": {"model": "tiny", "prompt": "Hello"},
    "/v1/rerank": {"model": "tiny", "query": "x", "documents": ["a"]},
    "/rerank": {"model": "tiny", "query": "x", "documents": ["a"]},
    "/v2/rerank": {"model": "tiny", "query": "x", "documents": ["a"]},
    "/tokenize": {"model": "tiny", "content": "x"},
    "/v1/tokenize": {"model": "tiny", "content": "x"},
    "/detokenize": {"model": "tiny", "tokens": [65]},
    "/v1/detokenize": {"model": "tiny", "tokens": [65]},
}
JSON = {"Content-Type": "application/json"}


def worded(path: str, said: dict[str, object]) -> str:
    """Return the message of a refusal, which must be in the envelope of the path's shape."""
    if path.startswith("/api/"):
        assert set(said) == {"error"}
        return str(said["error"])
    error = said["error"]
    assert isinstance(error, dict)
    if path.startswith("/v1/messages"):
        assert said["type"] == "error"
        assert set(error) == {"type", "message"}
    else:
        assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


def test_every_path_has_a_body(served: Served) -> None:
    document = served.http.get("/openapi.json").json()
    assert {path for path, ways in document["paths"].items() if "post" in ways} == set(BODIES)


@pytest.mark.parametrize("path", BODIES)
def test_the_body_of_each_is_taken(served: Served, path: str) -> None:
    assert served.http.post(path, json=BODIES[path]).status_code == 200


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ('{"x": NaN}', "not finite"),
        ('{"x": Infinity}', "not finite"),
        ('{"x": 1e400}', "not finite"),
        ('{"x": 1, "x": 2}', "twice"),
        ('{"x":' * 100_000, "deep"),
        ('{"x":' + "[" * 100 + "]" * 100 + "}", "deep"),
        ('{"x": "\\ud800"}', "half"),
        (b'{"x": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "JSON"),
        ('{"x": ' + "9" * 5000 + "}", "JSON"),
        ("[]", "object"),
        ("{", "JSON"),
        ("", "JSON"),
    ],
)
def test_broken_json_is_refused(served: Served, raw: str | bytes, word: str) -> None:
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
        found = served.http.post(path, content=raw, headers=JSON)
        assert found.status_code == 400
        assert word in worded(path, found.json())


@pytest.mark.parametrize("path", BODIES)
def test_a_body_is_read_with_care_on_every_path(served: Served, path: str) -> None:
    raw = json.dumps(BODIES[path])
    found = served.http.post(path, content=raw[:-1] + ', "x": NaN}', headers=JSON)
    assert found.status_code == 400
    assert "not finite" in worded(path, found.json())
    for kind in ({"Content-Type": "text/plain"}, {}):
        found = served.http.post(path, content=raw.encode(), headers=kind)
        assert found.status_code == 415
        assert "application/json" in worded(path, found.json())


@pytest.mark.parametrize("path", BODIES)
def test_what_is_not_the_callers_to_choose_is_refused(served: Served, path: str) -> None:
    """JJ-16, JJ-17, AD-09, AD-10."""
    for name in REFUSED:
        found = served.http.post(path, json={**BODIES[path], name: "x"})
        assert found.status_code == 400
        assert name in worded(path, found.json())
    taken = served.http.post(path, json={**BODIES[path], **dict.fromkeys(REFUSED)})
    assert taken.status_code == 200


@pytest.mark.parametrize("path", BODIES)
def test_unknown_fields_are_told_and_too_many_refused(served: Served, path: str) -> None:
    quiet = {"stream": False} if path in ("/api/chat", "/api/generate") else {}
    found = served.http.post(path, json={**BODIES[path], **quiet, "magic": 1})
    assert found.status_code == 200
    assert found.headers["x-fathom-warnings"] == "magic is not known here and was not used"
    assert found.json()["warnings"] == ["magic is not known here and was not used"]
    many = {f"magic{at}": 1 for at in range(1000)}
    assert served.http.post(path, json={**BODIES[path], **many}).status_code == 400


CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
DEEP: dict[str, object] = {}
for _ in range(40):
    DEEP = {"not": DEEP}


def schema_of(schema: object) -> dict[str, object]:
    """Return the field that asks for JSON of a schema."""
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def tool_of(name: str) -> dict[str, object]:
    """Return a tool."""
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        *((CHAT, {"n": value}) for value in (10**6, 0, -1, True, 1.5, "2")),
        (TEXT, {"best_of": 10**6}),
        (TEXT, {"prompt": ["x"] * 65}),
        (TEXT, {"prompt": []}),
        (TEXT, {"prompt": [[]]}),
        *((TEXT, {"prompt": [value]}) for value in (-1, 2**63, 1.0, True)),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": [{"role": "user", "content": None}]}),
        (CHAT, {"messages": [{"role": "king", "content": "x"}]}),
        (CHAT, {"messages": HELLO * 4097}),
        *((CHAT, {"max_tokens": value}) for value in (0, -1, 2**63)),
        *((CHAT, {"temperature": value}) for value in (-1, 1e308, "1")),
        (CHAT, {"top_p": 1.1}),
        (CHAT, {"repetition_penalty": 0}),
        (CHAT, {"top_k": -5}),
        (CHAT, {"seed": 2**64}),
        (CHAT, {"seed": 1.5}),
        (CHAT, {"logit_bias": {"x": 1}}),
        (CHAT, {"logit_bias": {"1": 101}}),
        (CHAT, {"logit_bias": {str(at): 1 for at in range(2000)}}),
        (CHAT, {"stop": ""}),
        (CHAT, {"stop": ["x"] * 17}),
        (CHAT, {"stop": "x" * 257}),
        (CHAT, {"logprobs": True, "top_logprobs": 21}),
        (CHAT, {"top_logprobs": 1}),
        (CHAT, {"tools": [tool_of("x")] * 2}),
        (CHAT, {"tools": [tool_of(f"x{at}") for at in range(129)]}),
        (CHAT, {"tools": [tool_of("two words")]}),
        (CHAT, {"tool_choice": "required"}),
        (CHAT, schema_of(DEEP)),
        (CHAT, schema_of({"$ref": "https://example.com/x"})),
        (CHAT, schema_of({"description": "x" * 70_000})),
        (CHAT, schema_of([])),
        (CHAT, {"response_format": {"type": "regex"}}),
        (CHAT, {"stream": "yes"}),
        ("/v1/embeddings", {"input": []}),
        ("/v1/embeddings", {"input": ["x"] * 2049}),
        ("/v1/embeddings", {"dimensions": 0}),
        ("/v1/messages", {"max_tokens": 0}),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "document"}]}]}),
        ("/api/chat", {"options": {"num_predict": -3}}),
        ("/api/chat", {"keep_alive": 1e12}),
    ],
)
def test_fields_that_make_no_sense_are_refused_before_any_work(
    served: Served, path: str, wrong: dict[str, object]
) -> None:
    found = served.http.post(path, json={**BODIES[path], **wrong})
    assert found.status_code == 400, found.text[:300]
    assert len(worded(path, found.json())) < 500
    assert served.service.asks == []
    assert served.service.embedded == []
