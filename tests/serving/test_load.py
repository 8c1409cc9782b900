"""More at once than there is room for: counted at the door, told when to come back, none lost."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from serving.conftest import PATIENT, Serving, Start, long_answer, wait_for

CHAT = "/v1/chat/completions"


def together(count: int, work: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_what_has_no_place_is_told_so_before_any_work(start: Start) -> None:
    """L-02, L-03, D-10."""
    with start(limits=replace(PATIENT, requests=3)) as serving, serving.client() as client:
        body = {"model": serving.model, **long_answer(150)}
        client.post(CHAT, json={**body, "max_tokens": 1}).raise_for_status()
        found = together(12, lambda _: httpx.post(serving.url + CHAT, json=body, timeout=60))
        counts = Counter(each.status_code for each in found)
        assert set(counts) == {200, 429} and counts[200] >= 3
        for each in found:
            if each.status_code == 429:
                assert int(each.headers["retry-after"]) >= 1
                assert each.json()["error"]["type"] == "rate_limit_error"
        assert serving.house.admission.refused == counts[429]
        assert {each.json()["usage"]["completion_tokens"] for each in found if each.is_success} == {
            150
        }


@pytest.mark.parametrize("more", [{}, {"n": 4}])
def test_a_queue_is_bounded_whatever_one_ask_counts(start: Start, more: dict[str, int]) -> None:
    """L-03: each of several answers takes a place."""
    limits = replace(PATIENT, sequences=1, queue_requests=3)
    with start(limits=limits) as serving, serving.client() as client:
        body = {"model": serving.model, **long_answer(200)}
        client.post(CHAT, json={**body, "max_tokens": 1}).raise_for_status()
        asked = {**body, **more}
        found = together(9, lambda _: httpx.post(serving.url + CHAT, json=asked, timeout=60))
        assert {each.status_code for each in found} <= {200, 429}
        assert 429 in {each.status_code for each in found}
        assert client.post(CHAT, json={**body, "max_tokens": 1}).status_code == 200


def test_health_and_figures_are_there_under_load(serving: Serving) -> None:
    """L-08."""
    body = {"model": serving.model, **long_answer(300)}
    with serving.client() as client:
        client.post(CHAT, json={**body, "max_tokens": 1}).raise_for_status()
        going = threading.Thread(
            target=together,
            args=(8, lambda _: httpx.post(serving.url + CHAT, json=body, timeout=60)),
        )
        going.start()
        wait_for(lambda: serving.worker().busy > 4)
        assert client.get("/health").json() == {"status": "ok"}
        text = client.get("/metrics").text
        going.join()
    for name in ("requests_inside", "model_resident_bytes", "pages_free", "tokens_total"):
        assert f"fathom_{name}" in text
    after = {line for line in serving.house.metrics.text().decode().splitlines() if line[0] != "#"}
    assert any(line.startswith("fathom_measured_by_predicted_count") for line in after)
    assert not any("hello" in line for line in after)


def test_one_opening_serves_all_who_wait(start: Start) -> None:
    with start() as serving:
        body = {"model": serving.model, **long_answer(2)}
        found = together(6, lambda _: httpx.post(serving.url + CHAT, json=body, timeout=60))
        assert [each.status_code for each in found] == [200] * 6
        assert len({each.json()["choices"][0]["message"]["content"] for each in found}) == 1
        assert serving.worker().figures is None or serving.house.residents.evictions == 0


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the server's lines."""
    return [each.getMessage() for each in caplog.records if each.name == "fathom.serving"]


def test_no_word_of_an_ask_is_logged(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """S-01, S-08, D-15: whatever was asked, refused or broken."""
    canary = "canary-8c1f-prompt"
    caplog.set_level(logging.DEBUG, logger="fathom.serving")  # whatever a verb set it to before
    with caplog.at_level(logging.DEBUG), serving.client() as client:
        said = [{"role": "user", "content": canary}]
        for body in (
            {"model": serving.model, "messages": said, "max_tokens": 2},
            {"model": canary, "messages": said},
            {"model": serving.model, "messages": [{"role": canary, "content": canary}]},
            {"model": serving.model, "messages": canary},
        ):
            client.post(CHAT, json=body, headers={"authorization": f"Bearer {canary}"})
        client.get(f"/v1/fit?model={canary}")
        wait_for(lambda: any("/v1/fit" in line for line in logged(caplog)))  # after its answer
        ours = [each for each in caplog.records if not each.name.startswith(("httpx", "httpcore"))]
    assert any("POST" in each.getMessage() for each in ours)
    assert not [each.getMessage() for each in ours if canary in each.getMessage()]


def test_a_log_line_is_one_line(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """H-20."""
    with caplog.at_level(logging.INFO, logger="fathom.serving"), serving.client() as client:
        client.get("/a%0d%0aFAKE%1b[31m%00")
        wait_for(lambda: any("FAKE" in line for line in logged(caplog)))  # after its answer
    assert all(line.isprintable() for line in logged(caplog))
