"""What goes wrong while others wait: callers who leave, processes that die or hang, the end."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from fathom.serving import process
from fathom.serving.limits import BEAT_SECONDS, USUAL
from serving.conftest import PATIENT, Serving, Start, long_answer
from waiting import LONGEST, wait_for

CHAT = "/v1/chat/completions"


def body(serving: Serving, tokens: int = 400, **more: object) -> dict[str, object]:
    return {"model": serving.model, **long_answer(tokens, **more)}


def at_rest(serving: Serving) -> bool:
    """Whether nothing is on its way, and every page is free."""
    figures = serving.worker().figures
    return (
        figures is not None
        and figures["running"] == figures["waiting"] == 0
        and figures["pages_free"] == figures["pages_total"]
        and serving.worker().busy == serving.house.admission.inside == 0
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 4])
def test_a_caller_who_leaves_frees_everything(serving: Serving, stream: bool, n: int) -> None:
    """F-49, L-04."""
    with serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        asked = body(serving, 900, stream=stream, n=n)
        if stream:
            with client.stream("POST", CHAT, json=asked) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(CHAT, json=asked, timeout=httpx.Timeout(LONGEST, read=0.2))
        wait_for(lambda: at_rest(serving))
        assert client.post(CHAT, json=body(serving, 3)).json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("how", "stream", "silent"),
    [(signal.SIGKILL, False, LONGEST), (signal.SIGSTOP, True, USUAL.silent_seconds)],
)
def test_a_process_that_dies_or_hangs_is_told_of_and_comes_back(
    start: Start, how: signal.Signals, stream: bool, silent: float
) -> None:
    """F-56, F-64, L-16."""
    limits = replace(PATIENT, silent_seconds=silent)
    with start(limits=limits) as serving, serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        pid = serving.worker().pid
        found: list[object] = []

        def ask() -> None:
            asked = body(serving, 1000, stream=stream)
            with serving.client() as other, other.stream("POST", CHAT, json=asked) as response:
                found.extend((response.status_code, response.read().decode()))

        asking = threading.Thread(target=ask)
        wait_for(lambda: at_rest(serving))
        os.kill(pid, signal.SIGSTOP)  # so that the answer cannot be whole before
        asking.start()
        wait_for(lambda: serving.worker().busy or found)
        os.kill(pid, how)
        asking.join(LONGEST)
        assert found[0] == 503 and "error" in str(found[1])
        again = client.post(CHAT, json=body(serving, 2))
        assert again.status_code == 200 and serving.worker().pid != pid


def test_asks_of_a_process_that_hangs_hear_of_it_within_five_seconds() -> None:
    """F-64: it is looked at eight times as often as it may be silent; what hangs says so itself."""
    assert USUAL.silent_seconds * (1 + 1 / 8) < 5
    assert USUAL.silent_seconds + BEAT_SECONDS < 5


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_hangs_in_native_code_is_told_of_and_a_slow_one_is_left_alone(
    start: Start, stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-56, L-16: the interpreter beside it lives and says so, which is no progress."""
    seconds = tmp_path / "seconds"
    monkeypatch.setenv("FATHOM_TEST_STEP_SECONDS", str(seconds))
    monkeypatch.setattr(process, "PROGRAM", (str(Path(__file__).with_name("sleeping_worker.py")),))
    with start(limits=replace(PATIENT, silent_seconds=4.0)) as serving, serving.client() as client:
        client.post(CHAT, json=body(serving, 4)).raise_for_status()
        pid = serving.worker().pid
        seconds.write_text("for ever")
        lost = client.post(CHAT, json=body(serving, 4, stream=stream))
        assert lost.status_code == (200 if stream else 503)
        assert "hung; ask again" in lost.text and "[DONE]" not in lost.text
        wait_for(lambda: not psutil.pid_exists(pid))
        seconds.write_text("0.7")  # longer than a sign of life is apart, shorter than it may take
        slow = client.post(CHAT, json=body(serving, 7, stream=stream))
        assert slow.status_code == 200 and "hung" not in slow.text
        assert serving.worker().lost is None and serving.worker().pid != pid


def test_an_answer_that_broke_off_says_so_and_does_not_end_well(serving: Serving) -> None:
    """F-64."""
    with serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        serving.house.residents.losses.clear()
        asked = body(serving, 1000, stream=True, n=4)  # for seconds
        with client.stream("POST", CHAT, json=asked) as response:
            lines = response.iter_lines()
            next(lines)
            os.kill(serving.worker().pid, signal.SIGKILL)
            said = [line for line in lines if line.startswith("data: ")]
    assert "[DONE]" not in "".join(said)
    assert "error" in json.loads(said[-1].removeprefix("data: "))


def test_an_answer_has_a_deadline(start: Start) -> None:
    """F-66."""
    hasty = replace(PATIENT, answer_seconds=0.05)
    with start(limits=hasty) as serving, serving.client() as client:
        found = client.post(CHAT, json=body(serving, 1000))
        assert (found.status_code, found.json()["error"]["type"]) == (504, "timeout_error")
        wait_for(lambda: at_rest(serving))


def test_a_broken_model_leaves_the_others_be(start: Start, tiny_chat, tmp_path) -> None:
    """F-65."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_chat.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    with start(str(tiny_chat), str(broken)) as serving, serving.client() as client:
        assert client.post(CHAT, json=body(serving, 1)).status_code == 200
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        refused = client.post(CHAT, json={**body(serving, 1), "model": str(broken)})
        assert refused.status_code >= 400 and refused.json()["error"]["message"]
        assert client.post(CHAT, json=body(serving, 1)).status_code == 200


def test_what_can_never_fit_is_told_before_it_starts(start: Start) -> None:
    """F-53, and the budget."""
    with start(memory=1_000_000) as serving, serving.client() as client:
        refused = client.post(CHAT, json=body(serving, 1))
        assert refused.status_code == 400
        assert "--memory" in refused.json()["error"]["message"]
        assert not serving.house.resident()


def test_two_models_with_room_for_one_take_turns(start: Start, tiny_chat, tmp_path) -> None:
    """L-12, and eviction of the least recently used."""
    other = tmp_path / "other"
    other.symlink_to(tiny_chat)
    with start(str(tiny_chat), str(other)) as serving, serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        taken = serving.house.resident()[0].memory_bytes
        serving.house.residents.budget = int(1.5 * taken)
        for name in (str(other), str(tiny_chat), str(other)):
            found = client.post(CHAT, json={**body(serving, 2), "model": name})
            assert found.status_code == 200
            assert [one.name for one in serving.house.resident()] == [name]
        assert serving.house.residents.evictions == 3


def test_a_model_leaves_after_its_time(start: Start) -> None:
    with start(limits=replace(PATIENT, keep_alive=0.2)) as serving, serving.client() as client:
        with client.stream("POST", CHAT, json=body(serving, 1, stream=True)) as response:
            next(response.iter_lines())
            pid = serving.worker().pid  # while it is asked: afterwards it may have left
        wait_for(lambda: not serving.house.resident() and not psutil.pid_exists(pid))
