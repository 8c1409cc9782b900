"""docs/reasoning.md: how families mark, bill and budget thought, with a worked account.

PYTHONPATH=tests python tests/catalog/reasoning_page.py      # writes the page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from catalog.dense_moe_ssm import DTYPE, GPU, decoder, table
from fathom.catalog.facts import address
from fathom.catalog.models import configuration
from fathom.catalog.reasoning import Thinking, Turn, account, families
from fathom.catalog.results import results
from fathom.cli.output import byte_text, seconds_text
from fathom.planning import costs
from fathom.planning.extending import stored_prediction
from fathom.planning.target import target

FILE = Path(__file__).resolve().parents[2] / "docs" / "reasoning.md"
TURN = Turn(prompt=1_200, thought=4_000, answer=300)
PACKED = "Q4_0"
LOCAL = ("qwen3-4b", "qwen3-8b", "qwen3-30b-a3b")

HEAD = """\
# Reasoning tokens

Written by `PYTHONPATH=tests python tests/catalog/reasoning_page.py`; a test holds it to the
program.

A model that thinks writes tokens before its answer. They are tokens like any other: each is one
pass through the model, lies in the cache until the answer is done, counts against the context and
against the longest answer. What differs between families is how they are marked, whether you see
them, how they are limited, and what becomes of them in the next turn.

## How each family does it

"""
RULES = """\

What they have in common, so that one account fits all:

- Whoever sells tokens bills thought as output, shown or not. A summary is not what was billed.
- A limit on the length of an answer covers thought and answer together. One that is too low ends
  in thought, and there is no answer: leave room for both.
- Thought of earlier turns is left out of the next prompt, so it costs once. Between the calls of
  tools within one turn it is kept.
- A budget is kept by the caller where the family has none: `fathom run --reasoning-budget N` puts
  in the closing mark when N tokens are spent.

## A worked account

"""


def marks(text: str) -> str:
    """Return marks as code, so that no reader of the page takes them for HTML."""
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def family_row(family: Thinking) -> tuple[str, ...]:
    words = (family.marks, family.shown, family.billed, family.budget, family.switch, family.later)
    return (f"[{family.title}]({address(family.source)})", *map(marks, words), family.date)


def bill_rows() -> Iterator[tuple[str, ...]]:
    yield "sold by the token", "in / out, dollars per million", "this turn", "of it thought"
    for family in families().values():
        if family.price is not None:
            found = account(TURN, family.price)
            share = found.thought / found.total
            yield (
                f"{family.title}, {family.date}",
                f"{family.price[0]:g} / {family.price[1]:g}",
                f"{found.total * 100:.2f} cents",
                f"{found.thought * 100:.2f} cents ({share:.0%})",
            )


def local_rows() -> Iterator[tuple[str, ...]]:
    """Yield time and cache of the same turn on one machine, by the spec and the data sheet."""
    yield "on your own machine", "reading", "thought", "answer", "cache of the thought"
    place = target(GPU, None, PACKED)
    for name in LOCAL:
        spec = decoder(configuration(name))
        total = TURN.prompt + TURN.thought + TURN.answer
        found = stored_prediction(spec, PACKED, total, place.rates)
        rate = found.decode_tokens_per_second or 1.0
        kept = costs.state_bytes(spec, DTYPE, TURN.prompt + TURN.thought)
        before = costs.state_bytes(spec, DTYPE, TURN.prompt)
        reading = found.seconds_to_first_token(TURN.prompt) or 0.0
        yield (
            name,
            seconds_text(reading),
            seconds_text(TURN.thought / rate),
            seconds_text(TURN.answer / rate),
            byte_text(kept - before),
        )


def gain_rows() -> Iterator[tuple[str, ...]]:
    """Yield results of distilled reasoning models beside what they were distilled into."""
    yield "size", "MATH-500", "GPQA", "AIME 2024", "grade"
    for (model, variant), listed in results().items():
        if model == "deepseek-r1":
            values = {each.test: f"{each.value:g} %" for each in listed}
            tests = ("MATH-500", "GPQA", "AIME 2024")
            yield variant, *(values.get(test, "unknown") for test in tests), listed[0].grade


def text() -> str:
    """Return what the page should say."""
    head = ("family", "marks", "shown", "billed as", "budget", "switch", "in later turns", "as of")
    known = [head, *map(family_row, families().values())]
    turn = (
        f"A question of {TURN.prompt:,} tokens, {TURN.thought:,} of thought, an answer of "
        f"{TURN.answer:,}. "
    )
    return "\n".join(
        [
            HEAD + "\n".join(table(known)),
            RULES + turn + "By the prices of the day on which each came:\n",
            *table(list(bill_rows())),
            f"\nThe same turn on one {GPU} by its data sheet, weights in {PACKED}, "
            "an upper bound of speed:\n",
            *table(list(local_rows())),
            "\nThought is most of the bill and nearly all of the wait. It is worth it where the "
            "answer can be checked;\nwhat it brings, by the report of DeepSeek-R1:\n",
            *table(list(gain_rows())),
            "\nModels whose training was thought from the start do not exist under that name: all "
            "of these are language\nmodels first, then trained by rewards that can be verified, or "
            "on the thought of another.\n",
        ]
    )


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
