"""How `fathom serve` does with many clients on this processor, beside two other servers.

    .venv/bin/python benchmarks/serve.py PART --peers /tmp/peers/bin/python   # a part, < 60 s
    .venv/bin/python benchmarks/serve.py --list                               # which there are
    .venv/bin/python benchmarks/serve.py --page                               # writes the page

Results are kept part by part in `serve.json`, so that each can be measured while nothing else
runs. The peers: llama-cpp-python's server with the same GGUF file, and `transformers serve` with
the same weights as safetensors in bfloat16 (`fathom convert` makes them). Clients are
`serve_load.py`'s and share the two cores with the server that they ask.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from serve_load import Question, Told, ask, closed_loop, mixed, open_loop, summary

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("serve.json")
PAGE = ROOT / "docs" / "serving.md"
MODEL = "smollm2:135m"
CLIENTS = (1, 2, 4, 8, 16, 32)
SECONDS = 20.0
ASKING_SECONDS = 24.0  # of what is asked for at a rate
SHORT = [Question(20, 12)]
GOAL_FIRST, GOAL_BETWEEN = 3.0, 0.25  # seconds: an answer within both is a good one

Result = dict[str, object]


@contextmanager
def started(command: list[str], port: int, path: str = "/v1/models") -> Iterator[psutil.Process]:
    """Run a server until it answers, then until the block ends."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
    ) as process:
        try:
            _await(port, path, process)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(20)


def _await(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{process.args} does not answer")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def fathom(*words: str) -> Iterator[tuple[int, psutil.Process]]:
    """Serve with Fathom, the model in memory."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("fathom")), "serve", MODEL, *words]
    with started([*command, "--port", str(port)], port) as process:
        asyncio.run(ask(port, Question(5, 2).body(MODEL, _chance())))
        yield port, process


def _chance() -> random.Random:
    return random.Random(0)


def with_clients(clients: int, *, sampled: bool = False) -> Callable[[argparse.Namespace], Result]:
    """So many clients, one question after the other each; none is refused, whatever it waits."""

    def part(_: argparse.Namespace) -> Result:
        words = "--together", str(max(16, clients)), "--most-wait", "inf"
        with fathom(*words) as (port, process):
            asked = mixed(64, sampled=sampled)
            found = asyncio.run(closed_loop(port, MODEL, clients, SECONDS, asked))
            held = sum(each.memory_info().rss for each in process.children(recursive=True))
            metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            return {**summary(*found), "worker_bytes": held, "overhead": _metric(metrics)}

    return part


def _metric(text: str) -> float | None:
    """Return the share of a step that is scheduling."""
    lines = [line for line in text.splitlines() if line.startswith("fathom_overhead{")]
    return float(lines[0].split()[-1]) if lines else None


def llama(args: argparse.Namespace) -> Result:
    """llama-cpp-python's server, with as many threads as there are cores."""
    from fathom import library

    port = free_port()
    file = str(library.locate(MODEL).path)
    command = [args.peers, "-m", "llama_cpp.server", "--model", file, "--port", str(port)]
    # By default a new request ends the one before it, which no client would choose.
    more = ["--n_ctx", "2048", "--n_threads", "2", "--interrupt_requests", "false"]
    with started([*command, *more], port):
        return summary(*asyncio.run(closed_loop(port, "any", 8, SECONDS, mixed(64))))


def transformers(*more: str) -> Callable[[argparse.Namespace], Result]:
    """`transformers serve`, the weights as bfloat16 in safetensors, as it is or with options.

    It writes a few tokens a second for all of its clients together, so it is asked for little:
    eight clients a short question each, once, which `short_8` asks of Fathom.
    """

    def part(args: argparse.Namespace) -> Result:
        folder, port = str(Path(args.converted)), free_port()
        program = str(Path(sys.executable).with_name("transformers"))
        command = [program, "serve", folder, "--device", "cpu", "--dtype", "bfloat16", *more]
        with started([*command, "--port", str(port)], port, "/health"):
            asyncio.run(ask(port, Question(5, 2).body(folder, _chance())))
            return summary(*asyncio.run(closed_loop(port, folder, 8, SECONDS / 2, SHORT)))

    return part


def short(_: argparse.Namespace) -> Result:
    """What `transformers serve` is asked, again and again for a while."""
    with fathom() as (port, _process):
        return summary(*asyncio.run(closed_loop(port, MODEL, 8, SECONDS / 2, SHORT)))


def overload(times: int) -> Callable[[argparse.Namespace], Result]:
    """So many times as much as 16 clients were answered, whatever comes: good answers a second."""

    def part(_: argparse.Namespace) -> Result:
        kept = json.loads(RESULTS.read_text())
        capacity = float(kept["clients_16"]["answers_per_second"])
        with fathom() as (port, _process):
            asked = mixed(64, seed=times)
            found, seconds = asyncio.run(
                open_loop(port, MODEL, times * capacity, ASKING_SECONDS, asked)
            )
        good = sum(map(_is_good, found)) / ASKING_SECONDS
        return {**summary(found, seconds), "capacity": capacity, "good_per_second": good}

    return part


def _is_good(each: Told) -> bool:
    if each.status != 200 or not each.pieces or each.first >= GOAL_FIRST:
        return False
    return sum(each.between) / max(1, len(each.between)) < GOAL_BETWEEN


def memory(_: argparse.Namespace) -> Result:
    """Two thousand short answers: what server and worker hold before and after."""
    with fathom() as (port, process):

        def held() -> int:
            every = [process, *process.children(recursive=True)]
            return sum(each.memory_info().rss for each in every)

        asked = [Question(5, 2)]
        asyncio.run(_count(port, 200, asked))
        before = held()
        begun = time.perf_counter()
        asyncio.run(_count(port, 1800, asked))
        return {"before": before, "after": held(), "seconds": time.perf_counter() - begun}


async def _count(port: int, count: int, asked: list[Question]) -> None:
    chance = _chance()
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            await ask(port, asked[0].body(MODEL, chance))

    await asyncio.gather(*(client() for _ in range(16)))


def second_turn(_: argparse.Namespace) -> Result:
    """A chat of about 2,000 tokens: the first piece of its first turn and of its second."""
    firsts, seconds = [], []
    with fathom() as (port, _process):
        for number in range(5):
            body = Question(1900, 8).body(MODEL, random.Random(number))
            told = asyncio.run(ask(port, body))
            firsts.append(told.first)
            more = [
                {"role": "assistant", "content": "A story."},
                {"role": "user", "content": f"And then? {number}"},
            ]
            body["messages"] = [*body["messages"], *more]  # type: ignore[misc]
            seconds.append(asyncio.run(ask(port, body)).first)
    return {"first": sorted(firsts)[2], "second": sorted(seconds)[2]}


PARTS: Mapping[str, Callable[[argparse.Namespace], Result]] = {
    **{f"clients_{clients}": with_clients(clients) for clients in CLIENTS},
    "llama_cpp_python_8": llama,
    "transformers_8": transformers(),
    "transformers_batching_8": transformers("--continuous-batching"),
    "short_8": short,
    "sampled_8": with_clients(8, sampled=True),
    "overload_1": overload(1),
    "overload_2": overload(2),
    "memory": memory,
    "second_turn": second_turn,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the results into the page")
    parser.add_argument("--peers", help="the Python that has llama-cpp-python's server")
    parser.add_argument("--converted", default=str(Path(tempfile.gettempdir()) / "smollm2-bf16"))
    args = parser.parse_args()
    if args.list:
        sys.stdout.write("\n".join(PARTS) + "\n")
    for name in args.part:
        found = PARTS[name](args)
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept[name] = found
        RESULTS.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
        sys.stdout.write(f"{name} {json.dumps(kept[name])}\n")
    if args.page:
        from serve_page import write

        write(json.loads(RESULTS.read_text()), PAGE)


if __name__ == "__main__":
    main()
