"""Refreshing from other catalogues, over HTTP, against small made-up answers in their forms."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fathom.catalog import overlay
from fathom.catalog.check import findings
from fathom.catalog.models import models, shipped
from fathom.catalog.refresh import ADAPTERS, refresh
from fathom.errors import FetchError, RequestError

ANSWERS: dict[str, object] = {
    "/models.json": {
        "openai/gpt-4o": {"limit": {"context": 160_000, "output": 16_384}, "knowledge": "2023-10"},
        "openai/gpt-99": {"limit": {"context": 1}},
        "openai/o1": {"limit": {"context": -5}, "knowledge": 7},
    },
    "/api.json": {
        "anthropic": {
            "models": {
                "claude-opus-4-0": {"cost": {"input": 16, "output": 80, "cache_read": 1.5}},
                "claude-sonnet-4-0": {"cost": {"input": 3, "output": 15}},
                "claude-99": {"cost": {"input": 1}},
            }
        }
    },
    "/data/leaderboard-text.json": {
        "full": {"gpt-4o": {"rating": 1345.6}, "nobody": {"rating": 1.0}}
    },
    "/api/v2/data/llms/models": {
        "data": [
            {
                "slug": "gpt-4o",
                "evaluations": {"artificial_analysis_intelligence_index": 29.0},
            },
            {"slug": "nobody", "evaluations": None},
        ]
    },
}
REPOSITORY = {
    "cardData": {
        "license": "apache-2.0",
        "language": ["en", "fr"],
        "base_model": "meta-llama/Llama-2-7b-hf",
    }
}
# What each source's made-up answers become: card, field, value.
EXPECTED = {
    "models.dev": {
        ("gpt-4o", "context_in", 160_000),
        ("gpt-4o", "knowledge", "2023-10"),
        (
            "claude-4",
            "price",
            (
                "anthropic/claude-opus-4-0 input=16 output=80 cached=1.5",
                "anthropic/claude-sonnet-4-0 input=3 output=15",
            ),
        ),
    },
    "hub": {("alpaca", "base", ("llama-2",)), ("mixtral-8x7b", "licence", "Apache-2.0")},
    "arena": {("gpt-4o", "arena_rating", 1346)},
    "artificial-analysis": {("gpt-4o", "analysis_index", "29.0")},
}


class Handler(BaseHTTPRequestHandler):
    """Answers as the sources do; `/broken` is a source that does not."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("x-api-key")))  # type: ignore[attr-defined]
        content = REPOSITORY if self.path.startswith("/api/models/") else ANSWERS.get(self.path)
        if self.path.endswith("/vicuna-7b-delta-v1.1"):
            content = None  # a repository that is gone
        if self.path.startswith("/html/"):
            body = b"<html>"
        elif content is None:
            self.send_error(404)
            return
        else:
            body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    monkeypatch.setenv("ARTIFICIAL_ANALYSIS_API_KEY", "a key")
    return overlay.place()


def _places(server: ThreadingHTTPServer, below: str = "") -> dict[str, str]:
    place = f"http://127.0.0.1:{server.server_port}{below}"
    return {adapter.name: place for adapter in ADAPTERS}


@pytest.mark.parametrize("name", [adapter.name for adapter in ADAPTERS])
def test_each_source_becomes_facts(name: str, server, file: Path) -> None:
    (report,) = refresh([name], places=_places(server))
    lines = overlay.read(file)
    assert report.facts == len(lines) and report.licence
    told = {(line.model, line.field, line.fact.value) for line in lines}
    assert EXPECTED[name] <= told
    assert {line.model for line in lines} <= set(shipped())
    assert {line.licence for line in lines} == {report.licence}
    for line in lines:
        assert line.fact.basis == "compared" and line.fact.source.startswith("https://")


def test_what_does_not_pass_is_left_aside_with_a_reason(server, file: Path) -> None:
    (report,) = refresh(["models.dev"], places=_places(server))
    assert len(report.left) == 2
    assert all(reason.startswith("o1: '") for reason in report.left)


def test_a_repository_that_is_gone_stops_nothing(server, file: Path) -> None:
    (report,) = refresh(["hub"], places=_places(server))
    (reason,) = report.left
    assert reason.startswith("vicuna: ") and "404" in reason
    assert report.facts > 100


def test_what_changes_is_renewed_and_what_does_not_stays(server, file: Path) -> None:
    before = shipped()["gpt-4o"]
    refresh(["models.dev"], places=_places(server))
    after = models()["gpt-4o"]
    assert (before.number("context_in"), after.number("context_in")) == (128_000, 160_000)
    assert after.elsewhere["context_in"][0].value == 128_000
    assert after.text("knowledge") == before.text("knowledge")
    assert "2023-10" in [fact.value for fact in after.elsewhere["knowledge"]]
    contradictory = {(f.card, f.field) for f in findings() if f.kind == "contradictory"}
    assert ("gpt-4o", "context_in") in contradictory


def test_a_refreshed_price_is_a_second_source(server, file: Path) -> None:
    from fathom.catalog import prices

    refresh(["models.dev"], places=_places(server))
    asked = [
        offer for offer in prices.packaged_offers() if offer.name == "anthropic/claude-opus-4-0"
    ]
    told = {each.kind: [rate for _, _, rate in each.told] for each in prices.disagreements(asked)}
    assert told["input"] == [15.0, 16.0] and told["output"] == [75.0, 80.0]


def test_refreshing_twice_replaces(server, file: Path) -> None:
    first = refresh(["models.dev", "arena"], places=_places(server))
    lines = overlay.read(file)
    again = refresh(["models.dev"], places=_places(server))
    assert again == first[:1]
    assert sorted(map(repr, overlay.read(file))) == sorted(map(repr, lines))


def test_a_source_with_a_key_is_asked_with_it_and_not_without(
    server, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(["artificial-analysis"], places=_places(server))
    assert server.asked[-1][1] == "a key"
    monkeypatch.delenv("ARTIFICIAL_ANALYSIS_API_KEY")
    with pytest.raises(RequestError, match="ARTIFICIAL_ANALYSIS_API_KEY"):
        refresh(["artificial-analysis"], places=_places(server))
    server.asked.clear()
    assert {report.source for report in refresh(places=_places(server))} == {
        adapter.name for adapter in ADAPTERS if adapter.key is None
    }
    assert all(key is None for _, key in server.asked)


@pytest.mark.parametrize(
    ("below", "complaint"), [("/absent", "404"), ("/html", "does not send JSON")]
)
def test_a_source_that_fails_changes_nothing(
    below: str, complaint: str, server, file: Path
) -> None:
    refresh(["arena"], places=_places(server))
    before = file.read_bytes()
    with pytest.raises(FetchError, match=complaint):
        refresh(["arena"], places=_places(server, below))
    assert file.read_bytes() == before


def test_a_source_that_is_not_there(file: Path) -> None:
    with pytest.raises(FetchError, match="cannot be reached"):
        refresh(["arena"], places={"arena": "http://127.0.0.1:9"})


def test_an_unknown_source_offers_the_nearest(file: Path) -> None:
    with pytest.raises(RequestError, match=r"Did you mean models\.dev"):
        refresh(["model.dev"])


GOOD = (
    '{"model": "gpt-4o", "field": "context_in", "value": 200000, "source": "https://a.b", '
    '"date": "2026-11-01", "licence": "MIT"}'
)
BROKEN = [
    ("{", "is not JSON"),
    ("[]", "one JSON object"),
    (GOOD.replace('"licence": "MIT"', '"licence": 3'), "'licence' must be text"),
    (GOOD.replace('"source": "https://a.b", ', ""), "'source' is missing"),
    (GOOD.replace("200000", '"many"'), "'context_in' must be a whole number"),
    (GOOD.replace("2026-11-01", "now"), "'context_in' has the date 'now'"),
    (GOOD.replace("context_in", "colour"), "'colour' is no field"),
]


@pytest.mark.parametrize(("line", "complaint"), BROKEN)
def test_a_broken_line_is_named_and_the_shipped_value_stands(
    line: str, complaint: str, file: Path
) -> None:
    file.write_text(f"{GOOD.replace('gpt-4o', 'o1')}\n{line}\n")
    with pytest.warns(UserWarning, match=f"catalog.jsonl, line 2: .*{complaint}.* stands"):
        known = models()
    assert known["gpt-4o"].number("context_in") == 128_000
    assert known["o1"].number("context_in") == 200_000
    before = file.stat().st_mtime_ns
    file.write_text(f"{GOOD}\n\n")
    os.utime(file, ns=(before, before))  # as if within one tick of the clock
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert models()["gpt-4o"].number("context_in") == 200_000


def test_a_line_of_no_known_model_is_noted(file: Path) -> None:
    file.write_text(GOOD.replace("gpt-4o", "gpt-4p"))
    with pytest.warns(UserWarning, match="catalog.jsonl: the catalogue has no model 'gpt-4p'"):
        assert "gpt-4p" not in models()


def test_a_file_that_cannot_be_read_is_noted(file: Path) -> None:
    file.mkdir()
    with pytest.warns(UserWarning, match="cannot be read .* stands"):
        assert models()["gpt-4o"].number("context_in") == 128_000


def test_bytes_that_are_no_text_are_a_broken_line(file: Path) -> None:
    file.write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    with pytest.warns(UserWarning, match="line 2"):
        assert models()["gpt-4o"].number("context_in") == 200_000
