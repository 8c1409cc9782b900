"""Parts of messages, in every spelling that is taken, and what is shown to a template."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from fathom.errors import RequestError
from fathom.inputs.chat import ChatTemplate
from fathom.inputs.content import in_parts, told_apart

BYTES = b"\x89PNG and more"
BASE64 = base64.b64encode(BYTES).decode()
PIXELS = np.zeros((2, 2, 3), dtype=np.uint8)
# A part → the kind and source that it holds.
HELD = [
    ({"type": "image", "image": "a.jpg"}, "image", "a.jpg"),
    ({"type": "image", "path": Path("a.jpg")}, "image", Path("a.jpg")),
    ({"type": "image", "url": "file:///a.jpg"}, "image", "/a.jpg"),
    ({"type": "image", "base64": BASE64}, "image", BYTES),
    ({"image": BYTES}, "image", BYTES),
    ({"type": "picture", "picture": "a.jpg"}, "image", "a.jpg"),
    (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        "image",
        BYTES,
    ),
    ({"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}, "image", BYTES),
    ({"type": "video", "video": ["1.png", "2.png"]}, "video", ["1.png", "2.png"]),
    ({"type": "video", "path": "a.gif"}, "video", "a.gif"),
    ({"type": "audio", "audio_url": "a.wav"}, "audio", "a.wav"),
    ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}, "audio", BYTES),
]


@pytest.mark.parametrize(("part", "kind", "source"), HELD, ids=lambda value: str(value)[:40])
def test_a_part_holds_what_it_says(part, kind: str, source: object) -> None:
    text = {"type": "text", "text": "What is this?"}
    shown, (medium,) = told_apart([{"role": "user", "content": [part, text]}])
    assert (medium.kind, medium.source) == (kind, source)
    content = shown[0]["content"]
    assert content[0]["type"] == kind and content[1] == text
    assert BASE64 not in str(content)


def test_order_and_pixels_are_kept_and_texts_left_alone() -> None:
    parts = [{"type": "audio", "audio": PIXELS}, {"type": "image", "image": PIXELS}]
    said = [{"role": "system", "content": "Be short."}, {"role": "user", "content": parts}]
    shown, media = told_apart(said)
    assert [one.kind for one in media] == ["audio", "image"]
    assert media[1].source is PIXELS
    assert shown[0] == said[0]
    assert in_parts(shown)[0]["content"] == [{"type": "text", "text": "Be short."}]
    assert in_parts(shown)[1] == shown[1]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image"}, "needs its picture"),
        ({"type": "video", "video": []}, "needs its video"),
        ({"type": "audio", "audio": 3}, "needs its sound"),
        ({"type": "image_url", "image_url": {}}, "needs its picture"),
        ({"type": "image", "url": "https://example.org/a.jpg"}, "nothing is fetched"),
        ({"type": "image", "base64": "no base64!"}, "base64 is broken"),
    ],
    ids=str,
)
def test_a_part_that_holds_nothing_is_refused(part, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        told_apart([{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    ("source", "only"),
    [
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", False),
        ("{% for m in messages %}{% for part in m['content'] %}{{ part }}{% endfor %}", True),
        ("{% for line in m.content | selectattr('type', 'equalto', 'text') %}", True),
        ("{% if m['content'] is string %}{% else %}{% for part in m['content'] %}", False),
    ],
)
def test_a_template_that_takes_only_parts_is_known(source: str, only: bool) -> None:
    assert ChatTemplate(source).only_parts == only
