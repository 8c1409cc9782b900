"""`docs/serving.md`, as far as it is generated: what was measured, the endpoints, the bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from fathom.serving.application import application
from fathom.serving.house import House
from fathom.serving.limits import USUAL, Limits

Results = Mapping[str, Mapping[str, float]]
# Peers: part → what it is, and the part in which Fathom was asked the same.
PEERS = {
    "llama_cpp_python_8": ("llama-cpp-python's server, the same file", "clients_8"),
    "transformers_8": ("`transformers serve`, the weights in bfloat16", "short_8"),
    "transformers_batching_8": ("`transformers serve --continuous-batching`, likewise", "short_8"),
}
ROWS = {
    **{f"clients_{clients}": f"Fathom, {clients}" for clients in (1, 2, 4, 8, 16, 32)},
    "sampled_8": "Fathom, 8, every token drawn",
    "llama_cpp_python_8": f"{PEERS['llama_cpp_python_8'][0]}, 8",
    "short_8": "Fathom, 8, short questions",
    "transformers_8": f"{PEERS['transformers_8'][0]}, 8, short questions",
    "transformers_batching_8": f"{PEERS['transformers_batching_8'][0]}, 8, short questions",
}


def write(results: Results, page: Path) -> None:
    """Write the parts of the page that are generated, each between its marks."""
    parts = {
        "measured": "\n".join(measured(results)),
        "endpoints": "\n".join(endpoints()),
        "bounds": "\n".join(bounds()),
    }
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = marks.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")


def measured(results: Results) -> Iterator[str]:
    """Yield what the benchmark found, as far as it was run."""
    yield "| server, clients | tokens/s | first token p50 · p95 · p99 | between p50 · p95 · p99 |"
    yield "|---|---:|---:|---:|"
    for name, words in ROWS.items():
        if name in results:
            yield _row(words, results[name])
    if "short_8" in results:
        yield "\nShort questions have 20 words and answers of 12 tokens."
    for name, (words, same) in PEERS.items():
        ours = results.get(same, {}).get("tokens_per_second")
        theirs = results.get(name, {}).get("tokens_per_second")
        if ours and theirs:
            ratio = ours / theirs
            yield f"\nWith eight clients {ratio:.1f} times the tokens per second of {words}."
    yield from _rest(results)


def _rest(results: Results) -> Iterator[str]:
    """Yield the sentences about single parts."""
    turn = results.get("second_turn")
    if turn:
        ratio = turn["first"] / turn["second"]
        yield (
            f"\nThe second turn of a chat of 2,000 tokens begins {ratio:.1f} times sooner than the"
            f" first: {turn['first']:.2f} s against {turn['second']:.3f} s."
        )
    memory = results.get("memory")
    if memory:
        more = (memory["after"] - memory["before"]) / 1e6
        yield f"\nAfter 1,800 more answers server and worker hold {more:+.1f} MB."
    shares = [results.get(part, {}).get("overhead") for part in ("clients_8", "sampled_8")]
    if None not in shares:
        greedy, drawn = (f"{100 * share:.1f} %" for share in shares if share is not None)
        yield (
            f"\nScheduling takes {greedy} of the steps with eight clients, and {drawn} where every"
            " token is drawn (temperature 0.8, top-p 0.9)."
        )
    yield from _overload(results)


def _overload(results: Results) -> Iterator[str]:
    """Yield how many answers are good where more is asked for than can be answered."""
    loads = [(times, results.get(f"overload_{times}")) for times in (1, 2)]
    if any(found is None for _, found in loads):
        return
    yield (
        "\nAsked for at a rate, whatever has been answered, with the usual bounds. The rate of"
        " once is what 16 clients are answered that wait for each other; a good answer begins"
        " within 3 seconds and has a token every 250 ms.\n"
    )
    yield "| asked for | good answers/s | refused | first token p50 · p95 · p99 |"
    yield "|---|---:|---:|---:|"
    for times, found in loads:
        if found is None:
            continue
        asked = found["answers"] + found["refused"] + found["failed"]
        first = " · ".join(f"{found[f'first_p{each}']:.2f}" for each in (50, 95, 99))
        share = 100 * found["refused"] / asked
        rate = times * found["capacity"]
        good = found["good_per_second"]
        yield f"| {times}×, {rate:.1f}/s | {good:.1f} | {share:.0f} % | {first} s |"


def _row(words: str, found: Mapping[str, float]) -> str:
    first = " · ".join(f"{found[f'first_p{each}']:.2f}" for each in (50, 95, 99))
    between = " · ".join(f"{1000 * found[f'between_p{each}']:.0f}" for each in (50, 95, 99))
    return f"| {words} | {found['tokens_per_second']:.0f} | {first} s | {between} ms |"


def endpoints() -> Iterator[str]:
    """Yield the routes of the application itself."""
    yield "| endpoint | |"
    yield "|---|---|"
    document = application(House(("none",), memory=1)).routes.openapi()
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            words = said.get("description") or said.get("summary") or ""
            line = words.strip().split("\n")[0].rstrip(".")
            yield f"| `{method.upper()} {path}` | {line} |"


def bounds() -> Iterator[str]:
    """Yield the table of limits, with the reasons that the source gives."""
    reasons = dict(
        re.findall(r"^ {8}(\w+): (.+?)(?=^ {8}\w+: |\Z)", Limits.__doc__ or "", re.M | re.S)
    )
    yield "| bound | usual | |"
    yield "|---|---:|---|"
    for field in fields(Limits):
        value = getattr(USUAL, field.name)
        reason = " ".join(reasons[field.name].split()).rstrip(".")
        yield f"| {field.name.replace('_', ' ')} | {value:,} | {reason} |"
