"""The process that attempts are forked from: everything imported, nothing opened but sound files.

    python -m hostile.zygote BENIGN SCRATCH

Each line of standard input is a request, each line of standard output its verdict. An attempt is
a fork with limits of its own, so that nothing one file does can reach the next.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

from fathom.errors import FathomError
from hostile.case import Verdict
from hostile.doors import DOORS, first_token
from hostile.watch import Watch

MEMORY = 1 << 30  # bytes of address space above the start; the oracle itself is stricter
FILE = 64 << 20  # bytes of any file
CPU = 20  # seconds
WALL = 120  # seconds more than its own that an attempt may take: the machine may be busy


def main(arguments: list[str]) -> None:
    benign, scratch = Path(arguments[0]), Path(arguments[1])
    import torch

    torch.set_num_threads = lambda _: None  # a thread would not survive the fork
    watch = Watch([Path(os.environ["FATHOM_CACHE"]), scratch, Path(os.environ["TMPDIR"])])
    expected = _warm(benign, scratch)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        verdict = attempt(json.loads(line), benign, expected, scratch, watch)
        sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
        sys.stdout.flush()


def _warm(benign: Path, scratch: Path) -> int:
    """Open the sound model by every door: what that imports, no other file needs to import."""
    (scratch / "template").write_text("{{ messages[0].content }}")
    places = {"render": scratch / "template", "document": benign / "config.json"}
    for name, door in DOORS.items():
        if name not in ("adapter", "convert", "unpickle", "save", "vocabulary"):
            door(places.get(name, benign), scratch, {})
    for name in ("adapters", "pickles", "pickle_child", "conversion"):
        importlib.import_module(f"fathom.checkpoint.{name}")
    importlib.import_module("fathom.inputs.charsmap")
    return first_token(benign)


def attempt(
    request: dict[str, object], benign: Path, expected: int, scratch: Path, watch: Watch
) -> Verdict:
    """Fork, try, and tell how it ended whatever happened to the fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        verdict = _try(request, benign, expected, scratch, watch)
        os.write(writing, json.dumps(asdict(verdict)).encode())
        os._exit(0)
    os.close(writing)
    limit = float(str(request["seconds"])) + WALL
    answered = bool(select.select([reading], [], [], limit)[0])
    data = b""
    if answered:
        while part := os.read(reading, 1 << 16):
            data += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not answered:
        return Verdict("hang", message=f"no answer in {limit:.0f} s")
    if os.WIFSIGNALED(status):
        return Verdict("signal", message=signal.Signals(os.WTERMSIG(status)).name)
    if not data:
        return Verdict("signal", message=f"status {os.WEXITSTATUS(status)}")
    found = json.loads(data)
    return Verdict(**{**found, "events": tuple(found["events"])})


def _try(
    request: dict[str, object], benign: Path, expected: int, scratch: Path, watch: Watch
) -> Verdict:
    path = Path(str(request["path"]))
    os.chdir(scratch)
    for check, answer in request["mutations"].items():  # type: ignore[attr-defined]
        _remove(check, answer)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    _limit()
    watch.begin(path)
    started = _processor_time()
    verdict = _end(request, path, scratch)
    seconds = _processor_time() - started
    events = watch.end()
    memory = _memory("VmHWM") - before
    opened = first_token(benign) == expected if request["benign"] else None
    return replace(verdict, seconds=seconds, memory=memory, events=events, benign=opened)


def _end(request: dict[str, object], path: Path, scratch: Path) -> Verdict:
    options = request["options"]
    assert isinstance(options, dict)
    try:
        DOORS[str(request["door"])](path, scratch, options)
    except FathomError as error:
        return Verdict("refused", error.code, str(error))
    except MemoryError:
        return Verdict("memory")
    except BaseException as error:  # noqa: BLE001  a panic is none of Exception
        return Verdict("exception", message=f"{type(error).__name__}: {str(error)[:300]}")
    return Verdict("accepted")


def _processor_time() -> float:
    """Seconds of processor time, ours and our dead children's: others use this machine too."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _limit() -> None:
    most = _memory("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _memory(field: str) -> int:
    """Bytes of this process, by a field of ``/proc/self/status``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")


def _remove(check: str, answer: object) -> None:
    """Make ``module:name`` do nothing but answer, to see that a case notices."""
    module, _, name = check.partition(":")
    owner = importlib.import_module(module)
    *parents, last = name.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    assert callable(getattr(owner, last)), check
    setattr(owner, last, lambda *_, **__: answer)


if __name__ == "__main__":
    main(sys.argv[1:])
