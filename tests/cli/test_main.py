"""The door: what loads, what help says, how errors end, and JSON for every verb."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from fathom import __version__
from fathom.cli.main import HOME, VERBS
from fathom.errors import FathomError, FetchError
from waiting import LONGEST

FAKE = Path(__file__).with_name("fake_library.py")
# What each verb needs besides its name. A new verb without a line here fails its tests.
WORDS = {
    "run": ["echo", "hello there"],
    "inspect": ["echo"],
    "explain": ["echo"],
    "embed": ["echo", "a text"],
    "transcribe": ["echo", "talk.wav"],
    "convert": ["echo", "converted"],
    "pull": ["echo"],
    "classes": [],
    "choose": ["--task", "segmentation"],
    "guide": ["llama"],
    "models": [],
    "model": ["gpt-2"],
    "prices": ["gpt-4o"],
    "timeline": [],
    "tree": [],
    "catalog": ["check"],
    "measurements": [],
    "ps": [],
    "stop": [],
}
# Verbs that ask the catalogue or the store of measurements: they open no checkpoint, and their own
# tests say what they refuse.
CATALOGUE = {
    *("classes", "choose", "guide", "models", "model", "prices", "timeline", "tree", "catalog"),
    *("measurements", "ps", "stop"),
}
# These need a model that computes, or can be planned; their own tests say what is said here.
MEASURING = {"autoencode", "bench", "fit", "imagine", "look", "segment", "serve", "solve", "train"}
HEAVY = {"torch", "transformers", "rich", "numpy"}


def loaded(code: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after running `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import fathom",
        "from fathom.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from fathom.cli.main import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass",
        "from fathom.cli.main import main\nmain([])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    modules = loaded(code)
    assert "fathom" in modules
    assert not HEAVY & modules


def test_only_the_chosen_verb_is_loaded() -> None:
    modules = loaded(
        "from fathom.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: 0"
    )
    assert not {verb.module for verb in (*VERBS.values(), HOME)} & modules


def test_help_names_every_verb(door, capsys) -> None:
    with pytest.raises(SystemExit) as leave:
        door("--help")
    text = capsys.readouterr().out
    assert leave.value.code == 0
    for name, verb in VERBS.items():
        assert f"  {name} " in text and verb.help in text


@pytest.mark.parametrize("name", VERBS)
def test_help_of_a_verb_has_examples_of_it(name, door, capsys) -> None:
    with pytest.raises(SystemExit) as leave:
        door(name, "--help")
    text = capsys.readouterr().out
    assert leave.value.code == 0
    examples = text.partition("examples:")[2]
    assert f"fathom {name} " in examples
    assert "--json" in text and "--debug" in text


@pytest.mark.parametrize("name", VERBS)
def test_examples_are_understood(name) -> None:
    module = import_module(VERBS[name].module)
    for line in module.EXAMPLES.splitlines():
        command = line.strip().split("   ")[0]  # what follows is a remark
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.arguments(parser)
        parser.add_argument("--json", action="store_true")
        typed = re.split(r" [>|] ", command.partition("fathom ")[2])[0]  # the rest is the shell's
        words = shlex.split(typed)
        assert words[0] == name
        understood = parser.parse_args(words[1:])
        opens_none = name in CATALOGUE or name in ("serve", "train") or "--table" in words
        assert opens_none or understood.name or understood.picture


def test_version(door, capsys) -> None:
    with pytest.raises(SystemExit) as leave:
        door("--version")
    assert (leave.value.code, capsys.readouterr().out) == (0, f"fathom {__version__}\n")


@pytest.mark.parametrize("name", [*(name for name in VERBS if name not in MEASURING), None])
@pytest.mark.parametrize("before", [True, False])
def test_json_is_one_object(name, before, door, fake_library) -> None:
    words = [] if name is None else [name, *WORDS[name]]
    code, out, err = door(*(["--json", *words] if before else [*words, "--json"]))
    assert (code, err) == (0, "")
    assert out.count("\n") == 1  # one line in a pipe
    assert isinstance(json.loads(out), dict)


@pytest.mark.parametrize("name", [name for name in VERBS if name not in CATALOGUE | MEASURING])
def test_an_unknown_model_is_one_line(name, door, fake_library) -> None:
    code, out, err = door(name, "absent", *WORDS[name][1:])
    assert (code, out) == (FathomError.exit_code, "")
    assert err == "fathom: there is no model 'absent'. Try echo\n"
    assert door(name, *WORDS[name])[0] == 0


def test_debug_shows_the_traceback(door, fake_library) -> None:
    assert "Traceback" in door("inspect", "absent", "--debug")[2]
    assert "Traceback" in door("--debug", "inspect", "absent")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu", "x"], "Did you mean run"),
        (["smollm2:135m"], "fathom run smollm2:135m"),
        (["./model.gguf"], "fathom run ./model.gguf"),
        (["run"], "NAME"),
        (["run", "echo", "x", "--top-k", "many"], "fathom run --help"),
        (["inspect", "echo", "--tensor"], "--tensor"),
        (["--nonsense"], "fathom --help"),
    ],
)
def test_a_wrong_command_is_one_line(words, said, door, fake_library) -> None:
    code, out, err = door(*words)
    assert (code, out) == (2, "")
    assert err.startswith("fathom: ") and err.count("\n") == 1 and said in err


def test_an_error_has_its_own_exit_code(door, fake_library, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FetchError("no network; connect it")

    monkeypatch.setattr(fake_library, "locate", refuse)
    assert door("pull", "echo") == (FetchError.exit_code, "", "fathom: no network; connect it\n")


def test_the_system_s_refusal_is_one_line(door, fake_library, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "model.gguf")

    monkeypatch.setattr(fake_library, "describe", refuse)
    code, _, err = door("inspect", "echo")
    assert code == 2 and err.count("\n") == 1 and "model.gguf" in err


def test_a_bug_of_ours_stays_visible(door, fake_library, monkeypatch) -> None:
    def slip(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(fake_library, "describe", slip)
    with pytest.raises(ZeroDivisionError):
        door("inspect", "echo")


def test_an_interrupt_ends_quietly(door, fake_library, monkeypatch) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fake_library, "describe", press)
    assert door("inspect", "echo") == (130, "", "")


def test_a_warning_is_one_line(door, fake_library, monkeypatch) -> None:
    def warn(*_: object, **__: object) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the rates were measured anew", stacklevel=1)
        return fake_library.CARD

    monkeypatch.setattr(fake_library, "describe", warn)
    assert door("inspect", "echo")[2] == "fathom: note: the rates were measured anew\n"


def test_a_reader_who_leaves_early_is_no_error() -> None:
    program = [sys.executable, str(FAKE), "inspect", "echo"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None and command.stderr is not None
        command.stdout.close()  # gone before the first line
        assert command.stderr.read() == b""
        assert command.wait(timeout=LONGEST) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        program = [sys.executable, str(FAKE), "run", "echo", "hi", "--quiet"]
        done = subprocess.run(
            program, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(b"fathom: ") and done.stderr.count(b"\n") == 1


def test_what_the_encoding_lacks_is_spelled_out() -> None:
    done = subprocess.run(
        [sys.executable, str(FAKE), "run", "echo", "grüß 👋", "--quiet"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == rb"1: gr\xfc\xdf \U0001f44b" + b"\n"


def test_a_pipe_gets_no_colours(fake_library) -> None:
    for words in (["inspect", "echo"], ["run", "echo", "hi"], ["pull", "echo"], []):
        done = subprocess.run([sys.executable, str(FAKE), *words], capture_output=True, check=True)
        assert b"\x1b" not in done.stdout + done.stderr
