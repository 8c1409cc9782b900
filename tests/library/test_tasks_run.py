"""`fathom run` picks the task from the model: tiny random checkpoints of every class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom import library as face
from fathom.cli.main import main
from fathom.spec.tasks import OF_CLASS, TASKS
from library import pairs, tiny

STORY = "anna lives in paris . the cat sat on the mat"
LABELS = {0: "O", 1: "B-PER", 2: "I-PER"}
PROMPTS = {
    "summarization": {"prefix": "the sky ", "max_length": 9},
    "translation_en_to_de": {"prefix": "anna lives "},
}
# Architecture of BERT → its task, what is typed beside the name, and keys of the result.
READERS: dict[str, tuple[str, list[str], str, set[str]]] = {
    "BertForMaskedLM": (
        "fill",
        ["the [MASK] sat", "--top", "3"],
        "candidates",
        {"token", "probability", "text"},
    ),
    "BertForSequenceClassification": ("classify", [STORY], "labels", {"name", "score"}),
    "BertForTokenClassification": (
        "tag",
        [STORY],
        "spans",
        {"label", "text", "start", "end", "score"},
    ),
    "BertForQuestionAnswering": ("answer", ["who sat ?", "--about", STORY], "text", set()),
    "BertModel": ("embed", [STORY], "vector", set()),
}
RERANKED = ["where is anna ?", "anna lives in paris", "the sky is blue"]

Maker = Callable[..., Path]


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a folder with a tiny random T5 and a tokenizer."""
    return lambda **config: pairs.make(tmp_path, "t5", {}, **config)[0]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return what calls `fathom run` and gives (exit code, stdout, stderr)."""

    def call(folder: Path, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["run", str(folder), *words, "--dtype", "float32", "--device", "cpu"])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def pooled(folder: Path) -> Path:
    """Say how to pool, as a folder of sentence-transformers does."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    modules += [
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def reader(bert: Maker, architecture: str) -> Path:
    if architecture == "BertForTokenClassification":
        return bert(architecture, id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
    if architecture == "BertForSequenceClassification":
        return bert(architecture, num_labels=3)
    folder = bert(architecture)
    return pooled(folder) if architecture == "BertModel" else folder


def test_every_task_is_asked_for_here() -> None:
    written = {"chat", "generate", "infill", "translate", "summarize", "rerank"}
    asked = written | {task for task, *_ in READERS.values()}
    assert {task for tasks in OF_CLASS.values() for task in tasks} <= asked <= set(TASKS)


@pytest.mark.parametrize("architecture", READERS)
def test_a_reader_does_what_it_is_there_for(
    architecture: str, bert: Maker, run: Callable[..., tuple[int, str, str]]
) -> None:
    task, words, key, parts = READERS[architecture]
    folder = reader(bert, architecture)
    assert face.open(str(folder), dtype="float32").tasks[0] == task
    code, out, _ = run(folder, *words, "--json")
    found = json.loads(out)
    assert (code, found["task"]) == (0, task)
    for part in found[key] if parts else []:
        assert set(part) == parts
    code, out, err = run(folder, *words)
    lines = out.splitlines()
    assert code == 0 and "\t" in lines[0]
    assert len(lines) == (len(found[key]) if parts else 1)
    if task == "embed":
        assert lines[0].startswith("32\t") and "fathom embed" in err
        assert run(folder, *words, "--quiet")[2] == ""


def test_a_reranker_takes_a_query_and_documents(
    bert: Maker, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = bert("BertForSequenceClassification", num_labels=1)
    lines = tmp_path / "documents.txt"
    lines.write_text("\n\n".join(RERANKED[1:]))
    found = json.loads(run(folder, *RERANKED, "--json")[1])
    assert found["task"] == "rerank"
    assert {one["document"] for one in found["documents"]} == set(RERANKED[1:])
    from_file = run(folder, RERANKED[0], "--about-file", str(lines), "--json")[1]
    assert json.loads(from_file) == found
    for wrong in ([RERANKED[0]], ["", "a"]):
        assert run(folder, *wrong)[0] == 2


def test_a_pair_has_its_publishers_prompts(
    pair: Callable[..., Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    folder = pair(task_specific_params=PROMPTS)
    code, _, err = run(folder, "the cat", "--max-tokens", "5")
    assert code == 0 and "names summarization, translation_en_to_de" in err
    plain = json.loads(run(folder, "anna lives the cat", "--max-tokens", "5", "--json")[1])
    words = ["the cat", "--task", "translate", "--languages", "en", "de", "--max-tokens", "5"]
    translated = json.loads(run(folder, *words, "--json")[1])
    assert (plain["task"], translated["task"]) == ("generate", "translate")
    assert translated["text"] == plain["text"]
    shorter = json.loads(run(folder, "the cat", "--task", "summarize", "--json")[1])
    assert shorter["usage"]["completion_tokens"] <= 8  # nine with what opens an answer
    assert run(folder, *words[:3], "--json")[0] == 2  # no languages


def test_a_pair_for_one_task_does_that(
    pair: Callable[..., Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    only = {"summarization": PROMPTS["summarization"]}
    folder = pair(task_specific_params=only)
    assert json.loads(run(folder, "the cat", "--json")[1])["task"] == "summarize"


def test_a_decoder_chats_continues_and_fills_in(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    folder = tiny.make(tmp_path / "coder", added=tiny.FILL)
    few = ["--max-tokens", "4", "--json"]
    assert face.open(str(folder)).tasks == ("chat", "generate", "infill", "embed")
    assert json.loads(run(folder, "hi", *few)[1])["task"] == "chat"
    assert json.loads(run(folder, "hi", "--raw", *few)[1])["task"] == "generate"
    marked = json.loads(run(folder, "a<FILL>b", "--infill", *few)[1])
    apart = json.loads(run(folder, "--prefix", "a", "--suffix", "b", *few)[1])
    assert marked["task"] == apart["task"] == "infill"
    assert marked["text"] == apart["text"]
    assert marked["usage"] == apart["usage"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([STORY, "--task", "classify"], "cannot classify a text: its class is MLM"),
        ([STORY, "--task", "chat"], "cannot write text: its class is MLM"),
        ([STORY, "--task", "summarize"], "take a seq2seq model"),
        ([STORY, "--task", "tag"], "take a tagger"),
        ([STORY, "--task", "infill"], "gaps"),
        (["a<FILL>b", "--infill"], "cannot write text"),
        ([STORY, "more"], "one text"),
        ([STORY, "--about", "it"], "--about is for answer and rerank"),
        ([STORY, "--languages", "en", "de"], "--languages is for translate"),
        ([STORY, "--temperature", "1"], "--temperature is for models that write"),
        ([STORY, "--raw", "--task", "fill"], "contradict"),
        ([STORY, "--task", "embed", "--top", "3"], "--top is for fill"),
        ([STORY, "--task", "answer"], "--about TEXT"),
        ([STORY, "--task", "rerank"], "documents"),
        ([STORY, "--about", "a", "--about-file", "b"], "one of them"),
        ([STORY, "--about-file", "absent.txt"], "absent.txt: cannot be read"),
        ([STORY, "--prefix", "a"], "leave out the other"),
        ([STORY, "--task", "dance"], "invalid choice"),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: list[str], said: str, bert: Maker, run: Callable[..., tuple[int, str, str]]
) -> None:
    folder = bert("BertForMaskedLM")
    assert run(folder, "the [MASK] sat", "--quiet")[0] == 0
    code, out, err = run(folder, *words)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("fathom: ") and said in last
