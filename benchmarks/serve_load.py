"""Many clients of a chat endpoint at once, lightly: what each token took to come.

It reads what OpenAI's streams have in common, over plain sockets, so that the clients take little
of the processor that the server under test computes with.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter

BUSY, AGAIN = 429, 0.25  # who is refused asks again after so many seconds
WORDS = (
    *("the", "sky", "is", "blue", "because", "light", "of", "short", "waves", "scatters"),
    *("more", "than", "that", "long", "ones", "when", "it", "meets", "air", "and", "what"),
    *("left", "looks", "red", "at", "dusk", "over", "a", "calm", "sea", "in", "summer"),
)


@dataclass
class Told:
    """One answer: when it was asked for, and when each piece of it came. Seconds."""

    asked: float
    pieces: list[float] = field(default_factory=list)
    status: int = 0

    @property
    def first(self) -> float:
        """Seconds to the first piece."""
        return self.pieces[0] - self.asked

    @property
    def between(self) -> list[float]:
        """Seconds between pieces."""
        return [after - before for before, after in zip(self.pieces, self.pieces[1:], strict=False)]


@dataclass(frozen=True)
class Question:
    """A prompt of about so many tokens, and how many are to be written."""

    words: int
    written: int
    sampled: bool = False

    def body(self, model: str, chance: random.Random) -> dict[str, object]:
        said = " ".join(chance.choice(WORDS) for _ in range(self.words))
        content = f"Tell a long story about this: {said}"
        chosen = {"temperature": 0.8, "top_p": 0.9} if self.sampled else {"temperature": 0}
        return {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.written,
            "stream": True,
            **chosen,
        }


def mixed(count: int, seed: int = 0, *, sampled: bool = False) -> list[Question]:
    """Return questions of mixed lengths: mostly short prompts, some long."""
    chance = random.Random(seed)
    return [
        Question(chance.choice((20, 40, 80, 160, 400)), chance.choice((32, 48, 64, 96)), sampled)
        for _ in range(count)
    ]


async def ask(port: int, body: dict[str, object]) -> Told:
    """Ask once and note when pieces come."""
    told = Told(perf_counter())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        told.status = int((await reader.readline()).split()[1])
        while line := await reader.readline():
            if (
                line.startswith(b"data: {")
                and b'"content":' in line
                and b'"content":null' not in line
            ):
                told.pieces.append(perf_counter())
    finally:
        writer.close()
    return told


async def closed_loop(
    port: int, model: str, clients: int, seconds: float, questions: Sequence[Question]
) -> tuple[list[Told], float]:
    """Have so many clients ask one question after another; return answers and the seconds.

    Each asks once at least, and begins nothing after `seconds`.
    """
    begun = perf_counter()
    chance = random.Random(1)
    rest = cycle(questions)
    found: list[Told] = []

    async def client() -> None:
        while True:  # once at least
            found.append(await ask(port, next(rest).body(model, chance)))
            if found[-1].status == BUSY:
                await asyncio.sleep(AGAIN)
            if perf_counter() - begun >= seconds:
                return

    await asyncio.gather(*(client() for _ in range(clients)))
    return found, perf_counter() - begun


async def open_loop(
    port: int, model: str, per_second: float, seconds: float, questions: Sequence[Question]
) -> tuple[list[Told], float]:
    """Ask at a rate, whatever has been answered; return answers and the seconds."""
    begun = perf_counter()
    chance = random.Random(2)
    asking = []
    rest = cycle(questions)
    while (now := perf_counter() - begun) < seconds:
        asking.append(asyncio.create_task(ask(port, next(rest).body(model, chance))))
        await asyncio.sleep(max(0.0, len(asking) / per_second - now))
    found = await asyncio.gather(*asking)
    return list(found), perf_counter() - begun


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(found: Sequence[Told], seconds: float) -> dict[str, float]:
    """Return throughput, and the percentiles of the first piece and of those between."""
    good = [each for each in found if each.status == 200 and each.pieces]
    firsts = [each.first for each in good]
    between = [gap for each in good for gap in each.between] or [0.0]
    result = {
        "tokens_per_second": sum(len(each.pieces) for each in good) / seconds,
        "answers_per_second": len(good) / seconds,
        "answers": len(good),
        "refused": sum(each.status == 429 for each in found),
        "failed": sum(each.status not in (200, 429) for each in found),
    }
    for share in (50, 95, 99):
        result[f"first_p{share}"] = percentile(firsts, share / 100)
        result[f"between_p{share}"] = percentile(between, share / 100)
    return result
