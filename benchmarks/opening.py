"""What the checks of strangers' files cost: opening and a turn of a chat, with and without them.

    python benchmarks/opening.py [NAME] [--rounds N]

Both ways are measured in turns in one process, opening by processor time, so that what else the
machine does meets both alike. "Without" leaves out the trial of the tokenizer, the reading of configurations as data and
the count of every tensor's numbers, and renders the template here instead of in a child.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from fathom import library
from fathom.checkpoint import configuration, description
from fathom.checkpoint.documents import read_json
from fathom.inputs import chat, folder


@contextmanager
def without_checks() -> Iterator[None]:
    """Leave the checks out."""

    def plain(file: Path) -> dict[str, object]:
        return read_json(file, boundless=configuration.BOUNDLESS)

    with (
        mock.patch.object(folder, "require_sound", lambda *_: None),
        mock.patch.object(description, "read_configuration", plain),
        mock.patch.object(description, "_require_agreement", lambda *_: None),
    ):
        yield


def opened(name: str) -> float:
    """Seconds of processor time to open a model and its tokenizer."""
    begun = time.process_time()
    library.open(name, device="cpu").tokenizer.encode("a")
    return time.process_time() - begun


def pairs(rounds: int, work: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Seconds with and without, in turns."""
    checked, bare = [], []
    for _ in range(rounds):
        checked.append(work())
        with without_checks():
            bare.append(work())
    return checked, bare


def turn(template: chat.ChatTemplate, confined: bool) -> float:
    """Seconds to render a conversation of ten messages."""
    messages = [{"role": role, "content": "hello " * 200} for role in ("user", "assistant") * 5]
    begun = time.perf_counter()
    if confined:
        template.render(messages)
    else:
        given = {"messages": messages, "tools": None, "add_generation_prompt": True}
        chat.render_source(template.source, {**template.words, **given})
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="smollm2:135m")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        converted = library.convert(args.name, Path(place) / "model", dtype="bfloat16")
        first = opened(str(converted))
        checked, bare = pairs(args.rounds, lambda: opened(str(converted)))
        ratios = sorted(a / b for a, b in zip(checked, bare, strict=True))
        print(f"opening {args.name} as safetensors: {statistics.median(ratios):.3f} of without,")
        print(f"  {ratios[0]:.3f} to {ratios[-1]:.3f} over {args.rounds} pairs,")
        print(f"  medians {statistics.median(checked):.3f} s and {statistics.median(bare):.3f} s;")
        print(f"  the first opening, which tries the tokenizer in a child: {first:.2f} s")
        template = library.open(str(converted), device="cpu").tokenizer.chat
        turn(template, True)
        many = [(turn(template, True), turn(template, False)) for _ in range(200)]
        more = statistics.median(a - b for a, b in many)
        print(f"a turn of a chat: {more * 1000:.2f} ms more than without a child")


if __name__ == "__main__":
    main()
