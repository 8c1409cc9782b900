"""Processes that may compute and nothing else, for what the files of strangers make a program do.

A template is a program, a tokenizer is built by native code that may abort, a pickle is a
program for a small machine. Each runs in a child of ours that has no secret in its environment,
opens no file and no socket once it has begun, and is killed when it takes too much memory or
time. Parent and child speak JSON through pipes, each message behind its length in 8 bytes.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from fathom.errors import TokenizerError

__all__ = ["Confined", "command", "confine", "environment", "serve"]

# Audit events of what a child never needs: https://docs.python.org/3/library/audit_events
FORBIDDEN = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod"),
    *("open", "ctypes.", "shutil."),
)
_WALL = 30  # seconds beyond its processor time that a child may take: the machine may be busy
_LENGTH = 8  # bytes

Json = Mapping[str, object]
Task = Callable[[Json], object]


class ConfinedError(Exception):
    """A child tried what it may not, or was refused more memory."""


def command(module: str, *arguments: object) -> list[str]:
    """Return the command line of a child: isolated from the user's own packages and folder."""
    return [sys.executable, "-P", "-s", "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return enough to import this package and what it needs, and no secret of the user."""
    kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "TZ")
    package = Path(__file__).parent.parent
    chosen = {name: os.environ[name] for name in kept if name in os.environ}
    return {**chosen, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}


def confine(memory: int, *, write: int = 0, seconds: int | None = None) -> None:
    """Give up what this process could do beside computing. There is no way back.

    The kernel refuses new descriptors, hence files and sockets, and more memory; an audit hook
    refuses programs. Where the system has no such limits, the hook alone remains.

    Args:
        memory: bytes of address space beyond what is in use now.
        write: bytes that an open file may grow to.
        seconds: of processor time for the rest of its life.
    """
    if sys.platform != "win32":
        import resource

        if sys.platform == "linux":  # elsewhere the address space in use is not known
            _lower(resource.RLIMIT_AS, _address_space() + memory)
        if seconds is not None:
            _lower(resource.RLIMIT_CPU, seconds)
        _lower(resource.RLIMIT_FSIZE, write)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, 0)  # those open now stay open
    sys.addaudithook(_refuse)


def _lower(kind: int, most: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    import resource

    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _refuse(event: str, _: tuple[object, ...]) -> None:
    if event.startswith(FORBIDDEN):
        raise ConfinedError(f"reading it caused {event}")


def _address_space() -> int:
    """Bytes of address space of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def serve(tasks: Mapping[str, Task], seconds: float) -> None:
    """Answer requests from standard input until it ends; called in the child, after `confine`.

    A task that takes more than `seconds` of processor time ends the process.
    """
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (request := _receive(source)) is not None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends a process
        answer = _answer(tasks[str(request["task"])], request)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)
        _send(sink, answer)


def _answer(task: Task, request: Json) -> Json:
    try:
        return {"value": task(request)}
    except TokenizerError as error:
        return {"error": str(error), "code": error.code}
    except MemoryError:
        return {"error": "it asks for too much memory", "code": "E_LIMIT"}


class Confined:
    """A warm child of ours, started when it is first needed and again after it was killed.

    Args:
        module: what the child runs; it calls `confine` and `serve`.
        seconds: of processor time that one request may take.
        what: names the work in a message, such as "the chat template".
        remedy: ends that message.
    """

    def __init__(self, module: str, seconds: float, what: str, remedy: str) -> None:
        self._command = command(module, seconds)
        self._seconds = seconds
        self._what, self._remedy = what, remedy
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()
        atexit.register(self.close)

    def call(self, task: str, **given: object) -> object:
        """Let the child do a task with plain data and return its plain result.

        Raises:
            TokenizerError: what the task raised; ``E_TIMEOUT`` or ``E_LIMIT`` where the child
                took too much time or memory, or crashed.
        """
        with self._lock:
            process = self._running()
            answer = self._exchange(process, {"task": task, **given})
        if answer is None:
            raise self._died(process.wait())
        if "error" in answer:
            raise TokenizerError(str(answer["error"]), code=str(answer["code"]))
        return answer["value"]

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        _release(process)

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the child; one that belongs to the process we were forked from is not ours."""
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: Json) -> Json | None:
        """Return the child's answer, or None when it is dead, by its own limits or by ours."""
        assert process.stdin is not None
        assert process.stdout is not None
        clock = threading.Timer(self._seconds + _WALL, process.kill)
        clock.start()
        try:
            with suppress(BrokenPipeError):
                _send(process.stdin, request)
            answer = _receive(process.stdout)
        except BaseException:
            process.kill()  # an answer to a question that nobody waits for any more
            answer = None
            raise
        finally:
            clock.cancel()
            if answer is None:
                self._process = None
                _release(process)
        return answer

    def _died(self, status: int) -> TokenizerError:
        timeouts = {-getattr(signal, name, 0) for name in ("SIGPROF", "SIGXCPU", "SIGKILL")}
        if status in timeouts:
            told = f"{self._what} takes more than {self._seconds:g} s; {self._remedy}"
            return TokenizerError(told, code="E_TIMEOUT")
        told = f"{self._what} ends the process that reads it (status {status}); {self._remedy}"
        return TokenizerError(told, code="E_LIMIT")


def _release(process: subprocess.Popen[bytes]) -> None:
    """Wait for a child that is dead or dying, and close its pipes."""
    with suppress(BrokenPipeError), process:
        pass


def _send(stream: IO[bytes], message: Json) -> None:
    data = json.dumps(message).encode()
    stream.write(len(data).to_bytes(_LENGTH, "little") + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> dict[str, object] | None:
    length = stream.read(_LENGTH)
    if len(length) < _LENGTH:
        return None
    size = int.from_bytes(length, "little")
    data = stream.read(size)
    if len(data) < size:
        return None
    message: dict[str, object] = json.loads(data)
    return message
