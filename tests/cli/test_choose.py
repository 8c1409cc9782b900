"""`fathom choose`: answers one line of options, asks on a terminal, says what would change."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GPU = ("--machine", "rtx 4090")


def value(out: str, label: str) -> list[str]:
    """Return what stands beside a label, of every line that has it."""
    lines = [line for line in out.splitlines() if line.startswith(f"{label}  ")]
    return [line.removeprefix(label).strip() for line in lines]


@pytest.mark.parametrize(
    ("task", "best", "second"),
    [
        ("segmentation", "SAM", "LVM"),
        ("Chat/Dialogue", "LLM", "SLM"),
        ("image generation", "LCM, diffusion", "MLLM"),
        ("video", "LMM", "VLM (frame by frame)"),
    ],
)
def test_a_task_alone(door, task: str, best: str, second: str) -> None:
    code, out, err = door("choose", "--task", task, *GPU)
    assert (code, err) == (0, "")
    assert value(out, "class") == [best]
    assert value(out, "second") == [second]
    assert value(out, "because") and value(out, "evidence") and value(out, "would change it")


def test_a_constraint_alone(door) -> None:
    out = door("choose", "--constraint", "real-time", *GPU)[1]
    assert value(out, "class") == ["LCM (for images), SLM (for text), SAM (for segmentation)"]


def test_when_no_model_is_needed(door) -> None:
    out = door("choose", "--task", "regex")[1]
    assert value(out, "no model needed") == ["A fixed form: a regular expression, exact and free."]


def test_models_with_what_they_will_take(door) -> None:
    out = door("choose", "--task", "code", *GPU, "--licence", "commercial", "--weights", "q4_0")[1]
    row = next(line for line in out.splitlines() if line.startswith("Qwen2.5-Coder-7B"))
    assert "GB" in row and "tokens/s" in row and "HumanEval 61.6 (base, self-reported)" in row
    assert "speed from the data sheet's peak" in out


def test_no_answer_is_an_answer(door) -> None:
    code, out, _ = door("choose", "--task", "chat", *GPU, "--memory", "400MB")
    assert code == 0
    assert "No model satisfies all of these." in out
    assert any(line.startswith("--memory ") and "would bring" in line for line in out.splitlines())


def test_all_lists_what_eight_leave_out(door) -> None:
    words = ("choose", "--task", "chat", *GPU)
    short, whole = door(*words)[1], door(*words, "--all")[1]
    assert "--all lists them" in short and "--all lists them" not in whole
    assert len(whole.splitlines()) > len(short.splitlines())


def test_hosted_models_with_their_prices(door, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    out = door("choose", "--task", "chat", "--constraint", "hosted", "--price", "5")[1]
    assert "US dollars for a million tokens" in out
    assert "texts leave this machine" in out and "GeForce" not in out


def test_json_is_one_object(door) -> None:
    page = json.loads(door("choose", "--task", "chat", *GPU, "--json")[1])
    assert page["decision"]["best"] == [{"model_class": "LLM", "how": ""}]
    first = page["front"][0]
    assert first["predicted"]["terms"]["weights"] < first["memory_bytes"]
    assert first["results"][0]["grade"] == "self-reported"
    assert {"beaten", "unproven", "refused", "relaxations"} <= set(page)


def test_on_a_terminal_it_asks(door, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["code", "rtx 4090", "", "commercial", "privacy"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    code, out, _ = door("choose", stdin=None)
    assert code == 0
    assert "What for? One of: chat," in out
    assert value(out, "class") == ["code"]
    assert "GeForce RTX 4090" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "say what for"),
        (("--json",), "say what for"),
        (("--task", "chatt"), "Did you mean"),
        (("--task", "chat", "--memory", "lots"), "is no amount; write 8GB"),
        (("--task", "chat", "--memory", "0GB"), "must be above zero"),
        (("--task", "chat", "--context", "0"), "--context 0 must be a number above zero"),
        (("--task", "chat", "--speed", "nan"), "--speed nan must be a number above zero"),
        (("--task", "chat", "--quality", "MMLU=high"), "must be TEST=NUMBER"),
        (("--task", "chat", "--quality", "MMLX=70"), "names no test with results. Did you mean"),
        (("--task", "chat", "--weights", "q3"), "weights 'q3' are no type"),
        (("--constraint", "privacy", "--constraint", "frontier"), "contradict one another"),
    ],
)
def test_what_makes_no_sense_is_refused(door, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = door("choose", *words)
    assert (code, out) == (2, "")
    assert complaint in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "amount"),
    [("8GB", 8 * 10**9), ("512MiB", 2**29), ("1.5 GB", 1.5e9), ("16gib", 2**34), ("900", 900)],
)
def test_amounts_of_memory(text: str, amount: float) -> None:
    from fathom.cli.amounts import amount as read

    assert read("--memory", text) == amount


@pytest.mark.parametrize(("text", "amount"), [("8B", 8 * 10**9), ("500M", 5 * 10**8)])
def test_amounts_of_parameters(text: str, amount: float) -> None:
    from fathom.cli.amounts import amount as read

    assert read("--max-params", text) == amount


def test_choosing_loads_no_torch() -> None:
    program = (
        "import sys; from fathom.cli.main import main; "
        "code = main(['choose', '--task', 'chat', '--machine', 'rtx 4090', '--json']); "
        "print(code, sorted({'torch', 'transformers', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
