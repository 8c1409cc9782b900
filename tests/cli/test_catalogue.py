"""The verbs of the catalogue: what they print, what they refuse, and that they are light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.catalog.models import shipped

WORDS = [
    ["models", "--class", "SLM"],
    ["model", "mixtral-8x7b"],
    ["prices", "gpt-4o"],
    ["timeline", "--class", "SLM"],
    ["tree", "--family", "llama"],
    ["catalog", "check"],
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_nothing_heavy_is_loaded(words: list[str], door) -> None:
    door("prices", "gpt-4o")  # the price package is read once a day; that is not this test
    code = f"import sys; from fathom.cli.main import main; main({words!r}); "
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "numpy", "genai_prices", "pydantic", "openpyxl"}
    assert not heavy & set(done.stderr.split())


FILTERS = [
    (["--class", "slm"], lambda m: "SLM" in m.words("classes")),
    (["--domain", "code"], lambda m: m.text("domain") == "code"),
    (["--domain", "law"], lambda m: m.text("domain") == "law"),
    (["--maker", "Mistral AI"], lambda m: m.maker == "mistral"),
    (["--family", "gemma"], lambda m: m.text("family") == "gemma"),
    (["--licence", "apache-2.0"], lambda m: m.text("licence") == "Apache-2.0"),
    (["--openness", "open-source"], lambda m: m.text("openness") == "open-source"),
    (["--max-params", "1b"], lambda m: m.smallest is not None and m.smallest <= 10**9),
    (["--since", "2025-03"], lambda m: (m.text("released") or "") >= "2025-03"),
    (
        ["--class", "MoE", "--licence", "MIT", "--since", "2025"],
        lambda m: (
            "MoE" in m.words("classes")
            and m.text("licence") == "MIT"
            and (m.text("released") or "") >= "2025"
        ),
    ),
]


@pytest.mark.parametrize(
    ("words", "passes"), FILTERS, ids=[" ".join(words) for words, _ in FILTERS]
)
def test_filters_choose_what_they_say(words: list[str], passes, door) -> None:
    code, out, _ = door("models", *words, "--json")
    names = {card["name"] for card in json.loads(out)["models"]}
    assert code == 0
    assert names == {name for name, model in shipped().items() if passes(model)}
    assert names


def test_commercial_licences(door) -> None:
    _, out, _ = door("models", "--licence", "commercial", "--json")
    names = {card["name"] for card in json.loads(out)["models"]}
    assert {"llama-3.3", "mistral-7b"} <= names
    assert not {"command-r-plus", "alpaca", "gpt-4o"} & names


@pytest.mark.parametrize("key", ["released", "name", "maker", "params", "context"])
def test_sorting(key: str, door) -> None:
    code, out, _ = door("models", "--sort", key, "--json")
    cards = json.loads(out)["models"]
    assert code == 0 and len(cards) == len(shipped())
    sizes = [shipped()[card["name"]].smallest for card in cards]
    ranks = {
        "released": [card["facts"]["released"]["value"] for card in cards],
        "name": [card["name"] for card in cards],
        "maker": [card["maker"] for card in cards],
        "params": [size or float("inf") for size in sizes],
        "context": [-card["facts"].get("context_in", {"value": 0})["value"] for card in cards],
    }
    assert ranks[key] == sorted(ranks[key])


REFUSED = [
    (["models", "--class", "SLMM"], "Did you mean"),
    (["models", "--maker", "mistrall"], "Did you mean"),
    (["models", "--licence", "apache"], "Did you mean"),
    (["models", "--sort", "size"], "sort by"),
    (["models", "--max-params", "small"], "write 500M"),
    (["models", "--since", "lately"], "write 2024"),
    (["models", "--class", "GAN", "--licence", "MIT"], "No model passes all"),
    (["model", "mixtrl"], "Did you mean mixtral-8x7b"),
    (["prices", "--workload", "in=lots"], "no number of tokens"),
    (["prices", "--provider", "opnai"], "Did you mean openai"),
    (["prices", "bert"], "No host"),
    (["prices", "nothing-of-that-name"], "no card"),
    (["timeline", "--class", "SML"], "Did you mean"),
    (["tree", "--family", "lama"], "Did you mean llama"),
    (["tree", "--format", "png"], "text, dot, svg"),
    (["catalog", "chek"], "Did you mean check"),
    (["catalog", "check", "llama"], "takes no names"),
    (["catalog", "check", "--kind", "odd"], "contradictory"),
    (["catalog", "export", "--format", "pdf"], "csv, json"),
    (["catalog", "export", "--format", "xlsx"], "--output"),
    (["catalog", "refresh", "hubb"], "Did you mean hub"),
]


@pytest.mark.parametrize(("words", "complaint"), REFUSED, ids=lambda value: str(value)[:50])
def test_refusals_are_one_line(words: list[str], complaint: str, door) -> None:
    """Their accepted twins are the commands above and in every verb's examples."""
    code, out, err = door(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and complaint in err


def test_a_card_shows_values_sources_and_gaps(door) -> None:
    code, out, _ = door("model", "mixtral-8x7b", "--prices")
    assert code == 0
    for words in ("arxiv:2401.04088", "46,702,792,704", "12,879,925,248", "often said", "missing:"):
        assert words in out
    assert "groq/mixtral-8x7b-32768" in out


@pytest.mark.parametrize("name", shipped())
def test_every_card_prints(name: str, door) -> None:
    code, out, err = door("model", name)
    assert (code, err) == (0, "")
    assert shipped()[name].title in out and "missing:" in out


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("M054", "Mixtral 8x7B"),
        ("swe-bench", "Verified half thousand"),
        ("s040", "S040"),
        ("C007", "SLM"),
        ("P001", "criterion"),
        ("D014", "table"),
    ],
)
def test_ids_and_tools_have_cards_too(asked: str, words: str, door) -> None:
    code, out, err = door("model", asked)
    assert (code, err) == (0, "") and words in out
    assert isinstance(json.loads(door("model", asked, "--json")[1]), dict)


def test_tools_name_verbs_that_exist() -> None:
    from fathom.catalog.tools import tools
    from fathom.cli.main import VERBS

    named = {tool.here.split()[1] for tool in tools().values() if tool.here}
    assert named and named <= set(VERBS)


def test_a_closed_model_is_not_sized(door) -> None:
    _, out, _ = door("model", "gpt-4")
    assert "its memory is not estimated" in out
    assert "parameters" in out.partition("missing:")[2]


def test_prices_are_sorted_and_disagreements_marked(door) -> None:
    code, out, _ = door("prices", "--workload", "in=1M,out=100k,cached=1M,reasoning=10k")
    lines = out.splitlines()
    assert code == 0 and lines[0].split()[:5] == ["cost", "input", "cached", "output", "reasoning"]
    costs = [float(line.split()[0].lstrip("$").replace(",", "")) for line in lines[1:41]]
    assert costs == sorted(costs)
    assert "… and" in out and "dearer" in out
    _, told, _ = door("prices", "deepseek-v3", "--json")
    assert {each["kind"] for each in json.loads(told)["disagreements"]} >= {"input", "output"}


def test_exports_are_written(door, tmp_path: Path) -> None:
    for form in ("csv", "json", "markdown", "xlsx"):
        file = tmp_path / f"models.{form}"
        assert door("catalog", "export", "--format", form, "--output", str(file))[0] == 0
        assert file.stat().st_size > 10_000
    assert door("catalog", "export")[1] == (tmp_path / "models.csv").read_text()


def test_a_broken_overlay_is_noted_and_the_answer_comes(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data" / "catalog.jsonl").write_text("{\n")
    words = [sys.executable, "-m", "fathom.cli.main", "model", "gpt-2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "GPT-2" in done.stdout
    assert done.stderr.startswith("fathom: note: catalog.jsonl, line 1: is not JSON")
    assert done.stderr.count("\n") == 1
