"""docs/staged.md: models beyond text, from what benchmarks/staged.py kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from fathom.planning.records import GROWTH, TOTAL

PAGE = "staged.md"
MEDIAN, WORST = 0.05, 0.07  # that memory may be off
FASTER = 1.3  # than the reference, at the median
TINY = " tiny"  # ends the name of a tiny model's row
Kept = Mapping[str, Any]


def write_pages(kept: Kept, docs: Path) -> None:
    """Write the page into the folder of documents."""
    (docs / PAGE).write_text("\n".join(page(kept)) + "\n", encoding="utf-8")


def page(kept: Kept) -> Iterator[str]:
    """Yield the lines of the page."""
    about = kept.get("about", {})
    told = ", ".join(f"{name} {found}" for name, found in about.items() if name != "machine")
    yield "# Models that see, hear, draw or solve: predicted, measured, beside others"
    yield ""
    yield "Written by `python benchmarks/staged.py`: do not edit. Models are random, of published"
    yield f"shapes or smaller ones. {about.get('machine', '')}; {told}."
    yield ""
    yield from _memory(kept["memory"])
    yield from _left(kept["left"]["memory"])
    yield from _seconds(kept["seconds"])
    yield from _left(kept["left"]["seconds"])
    yield from speed(kept["speed"])
    yield from _left(kept["left"]["speed"])
    yield from _steps(kept["steps"])


def _left(rows: Sequence[str]) -> Iterator[str]:
    """Yield what is not measured yet."""
    if rows:
        yield f"Not measured yet: {', '.join(rows)}."
        yield ""


def _error(figure: Mapping[str, float]) -> float:
    return figure["predicted"] / figure["measured"] - 1


def _memory(rows: Kept) -> Iterator[str]:
    errors = sorted((abs(_error(row["figures"][TOTAL])) for row in rows.values()), reverse=True)
    yield "## Memory"
    yield ""
    if errors:
        yield f"The whole process at its peak is off by {median(errors):.1%} at the median and"
        yield f"{errors[0]:.1%} at the worst; wanted are {MEDIAN:.0%} and {WORST:.0%}. *Model* is"
        yield "the growth over the idle process: weights, and what is kept and at work."
        yield ""
    both = " | ".join(("predicted", "measured", "error"))
    yield f"| model | computed | asked for | MB {both} | model {both} |"
    yield "|---|---|---|---:|---:|---:|---:|---:|---:|"
    for name, row in sorted(rows.items(), key=lambda one: -abs(_error(one[1]["figures"][TOTAL]))):
        cells = [f"`{name.split()[0]}`", row["dtype"], " ".join(row["options"]) or "as usual"]
        for what in (TOTAL, GROWTH):
            one = row["figures"][what]
            cells += [_mb(one["predicted"]), _mb(one["measured"]), f"{_error(one):+.1%}"]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _seconds(rows: Kept) -> Iterator[str]:
    """Yield the table of stages, tiny models by themselves: of these calls are most."""
    yield "## Seconds of one pass of each stage"
    yield ""
    yield "One thread, in its own time on the processor, which neighbours change little; predicted"
    yield "from rates of one thread. Wanted is a factor of 2 for tiny models, whose time is calls,"
    yield "and of 1.3 for the rest."
    yield ""
    found = [(name, row["dtype"], *each) for name, row in rows.items() for each in _passes(row)]
    for label, limit, tiny in (("tiny", 2.0, True), ("larger", 1.3, False)):
        listed = [one for one in found if (TINY in one[0]) is tiny]
        off = sorted(
            max(ratio, 1 / ratio)
            for *_, predicted, taken in listed
            for ratio in (predicted / taken,)
        )
        if not off:
            continue
        beyond = sum(one > limit for one in off)
        yield f"Of {len(off)} stages of {label} models {beyond} are off by more than {limit:g},"
        yield f"the median by {median(off):.2f}, the worst by {off[-1]:.2f}."
        yield ""
        yield "| model | computed | stage | predicted | measured | by |"
        yield "|---|---|---|---:|---:|---:|"
        for name, dtype, stage, predicted, taken in sorted(listed):
            cells = [f"`{name.split()[0]}`", dtype, stage, f"{predicted:.3g}", f"{taken:.3g}"]
            yield f"| {' | '.join(cells)} | {predicted / taken:.2f} |"
        yield ""


def _passes(row: Kept) -> Iterator[tuple[str, float, float]]:
    for stage, one in row["stages"].items():
        yield stage, one["predicted"], median(one["turns"])


def speed(rows: Kept) -> Iterator[str]:
    ratios = {name: _ratios(row) for name, row in rows.items()}
    yield "## Models beyond text, beside their reference libraries"
    yield ""
    yield "The same weights in the same type, one thread each, turn by turn; the reference's"
    yield "convolutions have their channels last, as ours, and it keeps memory at hand that ours"
    yield "gives back. Counted is the thread's own time on the processor. A ratio is theirs by"
    yield "ours, with the least and the greatest of the turns: above 1 ours is faster."
    yield ""
    if ratios:
        middle = median(median(each) for each in ratios.values())
        slower = [name for name, each in ratios.items() if median(each) < 1]
        yield f"The median of the rows is {middle:.2f} (wanted {FASTER}); slower than the reference"
        yield f"are {len(slower)} of {len(ratios)} (wanted none)."
        yield ""
    yield "| what | computed | ours, s | theirs, s | ratio | turns |"
    yield "|---|---|---:|---:|---|---:|"
    for name, row in sorted(rows.items(), key=lambda one: median(ratios[one[0]])):
        what, _, dtype = name.rpartition(" ")
        each = ratios[name]
        spread = f"**{median(each):.2f}** ({min(each):.2f} – {max(each):.2f})"
        times = (f"{median(row[side]):.3g}" for side in ("ours", "theirs"))
        yield f"| {' | '.join((what, dtype, *times, spread, str(len(each))))} |"
    yield ""


def _ratios(row: Mapping[str, Sequence[float]]) -> list[float]:
    return [theirs / ours for ours, theirs in zip(row["ours"], row["theirs"], strict=True)]


def _steps(rows: Kept) -> Iterator[str]:
    yield "## Four evaluations beside a hundred"
    yield ""
    yield "A consistency model asks its denoiser 4 times; 50 steps with guidance ask it 100 times."
    yield "`fathom explain` says so of a pipeline; here the same denoiser does both."
    yield ""
    for row in rows.values():
        few, many = row["operations"]
        seconds = row["seconds"]
        yield f"- operations: {few:,} and {many:,}, {many / few:.1f} times as many"
        yield f"- seconds on one thread: {seconds[0]:.3g} and {seconds[1]:.3g},"
        yield f"  {seconds[1] / seconds[0]:.1f} times as long"


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f}"
