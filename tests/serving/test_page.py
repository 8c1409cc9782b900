"""The page: what a browser shows and does, and what no text of a model or caller can make it do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fathom.serving.page import ASSETS, POLICY
from serving.browser import PROGRAM, Browser, browsing
from serving.conftest import Serving, Start

HTML = {"accept": "text/html"}
PAGES = ("/", "/fit", "/classes")
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}


class Seen(HTMLParser):
    """What a page would run or fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: list[str] = []
        self.inline: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places += [str(given[name]) for name in ("src", "href", "action") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self._script = tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_and_fetches_nothing_but_ours(serving: Serving, path: str) -> None:
    """D-27, H-17."""
    with serving.client(headers=HTML) as client:
        found = client.get(path)
        assert found.headers["content-security-policy"] == POLICY
        seen = Seen(found.text)
        assert not seen.inline
        for place in seen.places:
            assert place.startswith(("/", "#")) and not place.startswith("//")
            assert client.get(place).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["../page.py", "..%2fpage.py", "%2e%2e/page.py", "/etc/passwd", "chat.html", "style.css/"],
)
def test_no_other_file_is_served(serving: Serving, name: str) -> None:
    """H-12."""
    with serving.client() as client:
        assert client.get(f"/page/{name}").status_code in (307, 404)
        assert all(client.get(f"/page/{each}").status_code == 200 for each in ASSETS)


def test_who_is_no_browser_hears_what_ollama_says(serving: Serving) -> None:
    with serving.client() as client:
        assert client.get("/").text == "Ollama is running"
        assert client.head("/").status_code == 200
        assert client.get("/", headers=HTML).text.startswith("<!doctype html>")


def test_what_somebody_wrote_is_shown_as_text(start: Start, tiny_chat: Path, tmp_path) -> None:
    """H-18."""
    bold = tmp_path / "<b onclick=x>'\"&"
    bold.symlink_to(tiny_chat)
    with start(str(bold)) as serving, serving.client(headers=HTML) as client:
        for path in ("/", "/fit", "/fit?model=%3Cscript%3Ealert(1)%3C/script%3E&on=%22%3E%3Cb%3E"):
            text = client.get(path).text
            assert "<b" not in text.replace("<body", "").replace("<button", "")
            assert "<script>" not in text


@pytest.mark.parametrize(
    "query", ["context=99999999", "context=9" * 1, "on=nothing-of-the-kind", "batch=0"]
)
def test_the_calculator_refuses_in_words(serving: Serving, query: str) -> None:
    with serving.client(headers=HTML) as client:
        asked = {"model": serving.model, **dict([query.split("=")])}
        found = client.get("/fit", params=asked)
        assert found.status_code == 200
        refused = re.search(r'role="alert">(.+?)</p>', found.text)
        assert (refused is None) == (query == "context=9")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("there is no chromium on this machine")
    with browsing(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("screen", SIZES)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_its_screen(
    serving: Serving, browser: Browser, tmp_path: Path, screen: str, path: str
) -> None:
    width, height = SIZES[screen]
    query = f"?model={serving.model}" if path == "/fit" else ""
    browser.open(serving.url + path + query, width=width, height=height)
    assert browser.run("document.documentElement.scrollWidth") <= width
    small = "[...document.querySelectorAll('button,select,input,textarea,nav a')]" + (
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 32).length"
    )
    assert browser.run(small) == 0  # large enough for a finger
    unnamed = "[...document.querySelectorAll('select,input,textarea')]" + (
        ".filter(e => !e.labels.length).length"
    )
    assert browser.run(unnamed) == 0
    browser.picture(tmp_path / "screen.png")
    assert (tmp_path / "screen.png").stat().st_size > 5_000
    assert browser.complaints == []


@pytest.mark.slow
def test_a_chat_by_keyboard_alone(serving: Serving, browser: Browser) -> None:
    browser.open(serving.url + "/", width=1280, height=860)
    browser.type("<img src=x onerror=alert(1)>")
    browser.press("Enter")
    browser.wait(lambda: browser.run("!!document.querySelector('.turn.writing')"))
    browser.press("Escape")
    browser.wait(lambda: browser.run("!document.querySelector('.turn.writing')"))
    assert browser.run("document.querySelectorAll('.turn img').length") == 0
    assert browser.run("document.querySelector('.turn.user .text').textContent").startswith("<img")
    assert browser.run("document.activeElement.id") == "words"  # ready for the next one


@pytest.mark.slow
def test_an_answer_has_what_was_predicted_beside_what_was_measured(
    smollm2_path: Path, start: Start, browser: Browser
) -> None:
    with start("smollm2:135m") as serving:
        browser.open(serving.url + "/", width=390, height=844)
        browser.run("document.querySelector('.suggestion').click()")
        browser.wait(lambda: browser.run("!!document.querySelector('.figures:not([hidden])')"), 120)
        said = browser.run("document.querySelector('.assistant .figures').innerText")
        assert "first token" in said and "tokens/s" in said and said.count("predicted") == 3
        assert len(browser.run("document.querySelector('.assistant .text').textContent")) > 100
    assert browser.complaints == []
