"""What goes wrong while others wait: callers who leave, processes that die or hang, the end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace

import httpx
import psutil
import pytest

from serving.conftest import PATIENT, Serving, Start, long_answer, wait_for

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
                client.post(CHAT, json=asked, timeout=0.2)
        wait_for(lambda: at_rest(serving), 5)
        assert client.post(CHAT, json=body(serving, 3)).json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(("how", "stream"), [(signal.SIGKILL, False), (signal.SIGSTOP, True)])
def test_a_process_that_dies_or_hangs_is_told_of_and_comes_back(
    serving: Serving, how: signal.Signals, stream: bool
) -> None:
    """F-56, F-64, L-16."""
    with serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        serving.house.residents.losses.clear()  # of other tests, which would make it wait
        pid = serving.worker().pid
        found: list[object] = []

        def ask() -> None:
            asked = body(serving, 1000, stream=stream)
            with serving.client() as other, other.stream("POST", CHAT, json=asked) as response:
                found.extend((response.status_code, response.read().decode()))

        os.kill(pid, signal.SIGSTOP)  # so that the answer cannot be whole before
        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: serving.worker().busy)
        begun = time.monotonic()
        os.kill(pid, how)
        asking.join(10)
        assert time.monotonic() - begun < 5 + 1  # a second for machines at work
        assert found[0] == 503 and "error" in str(found[1])
        again = client.post(CHAT, json=body(serving, 2))
        assert again.status_code == 200 and serving.worker().pid != pid


def test_an_answer_that_broke_off_says_so_and_does_not_end_well(serving: Serving) -> None:
    """F-64."""
    with serving.client() as client:
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        serving.house.residents.losses.clear()
        asked = body(serving, 1000, stream=True)
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
        wait_for(lambda: at_rest(serving), 5)


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
        client.post(CHAT, json=body(serving, 1)).raise_for_status()
        pid = serving.worker().pid
        wait_for(lambda: not serving.house.resident() and not psutil.pid_exists(pid), 5)
