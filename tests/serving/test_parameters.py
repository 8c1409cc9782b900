"""Parameters out of all bounds, each beside an ask that is taken."""

from __future__ import annotations

import json

import pytest

from serving.conftest import Serving
from waiting import wait_for

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
NAN, INFINITY = float("nan"), float("inf")
MANY = [str(number) for number in range(5000)]
WORDS = ("NaN", "Infinity", "-Infinity", "1e400", "[" * 100_000, "1" * 5000, '"\\ud800"')


def nested(depth: int) -> dict[str, object]:
    """Return a schema with so many choices within one another."""
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        schema = {"oneOf": [schema]}
    return schema


def formed(schema: object) -> dict[str, object]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    }


def called(**function: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": "look", **function}}


# Line of the catalogue → fields of a body, none of which may be taken. By the route that has them.
OF_CHAT: dict[str, list[dict[str, object]]] = {
    "H-37": [{"n": each} for each in (10**6, 0, -1, 1.5, "two", 17)],
    "H-40": [{"messages": each} for each in ([], None, [{}], [{"role": "user", "content": None}])],
    "H-43": [{"max_tokens": each} for each in (0, -1, 2**31 + 1, 2**63, "many")],
    "H-44": [{"temperature": each} for each in (NAN, INFINITY, -1, 1e308)],
    "H-45": [
        {name: each}
        for name in ("top_p", "min_p", "presence_penalty", "frequency_penalty")
        for each in (NAN, -3, 1e9)
    ]
    + [{"repetition_penalty": each} for each in (0, -1, NAN)],
    "H-46": [{"top_k": each} for each in (-5, 2**32, 1.5)],
    "H-47": [{"seed": each} for each in (2**64, 1.5, "a")],
    "H-48": [
        {"logit_bias": each}
        for each in (
            {"999999": 1},
            {"1": NAN},
            {"1": 1e39},
            {"a": 1},
            {str(i): 1 for i in range(5000)},
        )
    ],
    "H-50": [{"stop": each} for each in (["a"] * 500, [""], "a" * 10_000, [1])],
    "H-52": [{"logprobs": True, "top_logprobs": each} for each in (-1, 264, 10**6)],
    "H-53": [formed(each) for each in ([], "text", {"$ref": "https://example.com/a.json"})],
    "H-54": [formed(nested(each)) for each in (40, 400)],
    "H-55": [formed({"enum": [f"value {number}" for number in range(10**5)]})],
    "H-57": [
        {"tools": each}
        for each in (
            [{"type": "function"}],
            [called(), called()],
            [called(name="with space")],
            [called(parameters="none")],
            [called(name=f"f{number}") for number in range(1000)],
        )
    ],
    "H-61": [
        {name: "{{ 1 }}"}
        for name in ("chat_template", "lora_path", "prompt_embeds", "logits_processors")
    ],
}
OF_TEXT: dict[str, list[dict[str, object]]] = {
    "H-38": [{"best_of": each} for each in (10**6, 0, -1)],
    "H-39": [{"prompt": ["a"] * 100_000}],
    "H-40": [{"prompt": each} for each in ("", [], [[]], None)],
    "H-41": [{"prompt": [each]} for each in (-1, 264, 2**31, 2**63, 1.5)],
    "H-42": [{"prompt": "a" * 1100}, {"prompt": "a" * 1_000_000}],
    "H-52": [{"logprobs": each} for each in (-1, 264, 10**6)],
}
CASES = [
    (path, line, json.dumps(fields))
    for path, table in ((CHAT, OF_CHAT), (TEXT, OF_TEXT))
    for line, asked in table.items()
    for fields in asked
]
TAKEN = {
    CHAT: {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2},
    TEXT: {"prompt": "hello", "max_tokens": 2},
}


@pytest.mark.parametrize(
    ("path", "line", "fields"), CASES, ids=[f"{line}-{fields[:24]}" for _, line, fields in CASES]
)
def test_what_is_out_of_bounds_is_refused(
    serving: Serving, path: str, line: str, fields: str
) -> None:
    """H-37 to H-48, H-50, H-52 to H-55, H-57, H-61, D-09: one line, and nothing computed."""
    body = {"model": serving.model, **TAKEN[path], **json.loads(fields)}
    with serving.client(headers={"content-type": "application/json"}) as client:
        found = client.post(path, content=json.dumps(body))
        assert found.status_code == 400, f"{line}: {found.text[:200]}"
        message = found.json()["error"]["message"]
        assert "\n" not in message and len(message) < 500 and "Traceback" not in message
    wait_for(lambda: serving.house.admission.inside == 0)


@pytest.mark.parametrize("path", TAKEN)
def test_their_twin_is_taken(serving: Serving, path: str) -> None:
    with serving.client() as client:
        found = client.post(path, json={"model": serving.model, **TAKEN[path]})
        assert found.json()["usage"]["completion_tokens"] == 2


def test_a_number_beyond_numbers_is_refused(serving: Serving) -> None:
    """H-27, H-44: JSON has no word for it."""
    with serving.client(headers={"content-type": "application/json"}) as client:
        for word in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "[" * 100_000,
            "1" * 5000,
            '"\\ud800"',
        ):
            text = f'{{"model": "{serving.model}", "prompt": "a", "temperature": {word}}}'
            assert client.post(TEXT, content=text).status_code == 400


def test_a_control_token_that_a_user_spells_is_text(serving: Serving) -> None:
    """H-64: it opens no turn, and takes as many tokens as it has letters here."""
    with serving.client() as client:
        counts = []
        for text in ("a", "a</s>"):
            said = [{"role": "user", "content": text}]
            body = {"model": serving.model, "messages": said, "max_tokens": 1}
            counts.append(client.post(CHAT, json=body).json()["usage"]["prompt_tokens"])
    assert counts[1] - counts[0] == len("</s>")
