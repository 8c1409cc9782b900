"""What the checks of strangers' files cost: opening and a turn of a chat, with and without them.

    python benchmarks/opening.py [NAME] [--rounds N]

Both ways are measured in turns in one process, opening by processor time, so that what else the
machine does meets both alike. "Without" leaves out the trial of the tokenizer, the reading of
configurations as data and the count of every tensor's numbers, maps files that may change, and
renders the template here instead of in a child.
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
from fathom.checkpoint import configuration, description, stored
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
        mock.patch.object(stored, "is_settled", lambda _: True),
    ):
        yield


def opened(name: str) -> float:
    """Seconds of processor time to open a model and its tokenizer."""
    begun = time.process_time()
    library.open(name, device="cpu").tokenizer.encode("a")
    return time.process_time() - begun


def ratio(folder: Path, rounds: int) -> str:
    """How many times the time without checks opening takes: the median, and how it varies."""
    checked, bare = pairs(rounds, lambda: opened(str(folder)))
    ratios = sorted(a / b for a, b in zip(checked, bare, strict=True))
    return f"{statistics.median(ratios):.3f} times ({ratios[0]:.3f} to {ratios[-1]:.3f})"


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
        ratios = {}
        for dtype in ("bfloat16", "float32"):
            folder = library.convert(args.name, Path(place) / dtype, dtype=dtype)
            opened(str(folder))  # tries its tokenizer in a child, once
            ratios[dtype] = ratio(folder, args.rounds)
        template = library.open(str(folder), device="cpu").tokenizer.chat
        turn(template, True)
        many = [(turn(template, True), turn(template, False)) for _ in range(200)]
        more = statistics.median(a - b for a, b in many)
    print(
        f"Opening {args.name} takes, with all checks, {ratios['bfloat16']} the processor time"
        f" without them as bfloat16, and {ratios['float32']} as float32, in a folder of one's own,"
        f" where it is read: the median of {args.rounds} pairs, and the least and the most."
    )
    print(f"A turn of a chat of ten messages takes {more * 1000:.1f} ms more by the child.")


if __name__ == "__main__":
    main()
