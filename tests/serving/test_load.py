"""More at once than there is room for: counted at the door, told when to come back, none lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from serving.conftest import PATIENT, Serving, Start, long_answer
from waiting import LONGEST, wait_for

CHAT = "/v1/chat/completions"


def post(serving: Serving, body: object) -> httpx.Response:
    return httpx.post(serving.url + CHAT, json=body, timeout=LONGEST)


def together(
    serving: Serving, count: int, body: object, come: Callable[[], object]
) -> list[httpx.Response]:
    """Ask so many times while the model is held, let it go when something came, and return all."""
    wait_for(lambda: serving.house.admission.inside == 0)  # what was asked before has left
    with ThreadPoolExecutor(count) as pool:
        with serving.paused():
            asked = [pool.submit(post, serving, body) for _ in range(count)]
            wait_for(come)
        return [each.result() for each in asked]


def test_what_has_no_place_is_told_so_before_any_work(start: Start) -> None:
    """L-02, L-03, D-10."""
    with start(limits=replace(PATIENT, requests=3)) as serving, serving.client() as client:
        body = {"model": serving.model, **long_answer(150)}
        client.post(CHAT, json={**body, "max_tokens": 1}).raise_for_status()
        admission = serving.house.admission
        found = together(serving, 12, body, lambda: admission.refused == 9)
        assert Counter(each.status_code for each in found) == {200: 3, 429: 9}
        for each in found:
            if each.status_code == 429:
                assert int(each.headers["retry-after"]) >= 1
                assert each.json()["error"]["type"] == "rate_limit_error"
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
        found = together(serving, 9, asked, lambda: serving.house.admission.inside == 9)
        assert {each.status_code for each in found} <= {200, 429}
        assert 429 in {each.status_code for each in found}
        assert client.post(CHAT, json={**body, "max_tokens": 1}).status_code == 200


def test_health_and_figures_are_there_under_load(serving: Serving) -> None:
    """L-08."""
    body = {"model": serving.model, **long_answer(300)}
    with serving.client() as client:
        client.post(CHAT, json={**body, "max_tokens": 1}).raise_for_status()
        said: list[httpx.Response] = []

        def looked() -> bool:
            """Look at it once it is busy."""
            if serving.worker().busy >= 8:
                said.extend(client.get(path) for path in ("/health", "/metrics"))
            return bool(said)

        answers = together(serving, 8, body, looked)
        assert {each.status_code for each in answers} == {200}
        assert said[0].json() == {"status": "ok"}
        text = said[1].text
    for name in ("requests_inside", "model_resident_bytes", "pages_free", "tokens_total"):
        assert f"fathom_{name}" in text
    after = {line for line in serving.house.metrics.text().decode().splitlines() if line[0] != "#"}
    assert any(line.startswith("fathom_measured_by_predicted_count") for line in after)
    assert not any("hello" in line for line in after)


def test_one_opening_serves_all_who_wait(start: Start) -> None:
    with start() as serving:
        body = {"model": serving.model, **long_answer(2)}
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda _: post(serving, body), range(6)))
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
