"""The evaluation harness scores a model over HTTP as it does the same one in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from library import tiny
from serving.conftest import Start

TASK = """
task: tiny_choice
dataset_path: json
dataset_kwargs:
  data_files: {file}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
QUESTIONS = (
    ("The capital of France is", (" Paris", " Berlin", " a dog"), 0),
    ("Two plus two is", (" five", " four", " blue"), 1),
    ("Cats and dogs are", (" numbers", " animals"), 1),
    ("Once upon a", (" time", " chair", " seven"), 0),
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the harness are its own
def test_scores_are_the_same_over_http(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = pytest.importorskip(
        "lm_eval", reason="the evaluation harness brings forty packages, so no extra has it"
    )
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"question": q, "choices": c, "answer": a} for q, c, a in QUESTIONS]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "tiny_choice.yaml").write_text(TASK.format(file=file))
    folder = tiny.make(tmp_path / "model", max_position_embeddings=512)
    known = {
        "tasks": ["tiny_choice"],
        "task_manager": TaskManager(include_path=str(tasks)),
        "log_samples": True,
        "bootstrap_iters": 0,
    }
    with start(str(folder)) as running:
        place = f"model={running.model},base_url={running.url}/v1/completions"
        ours = harness.simple_evaluate(
            model="local-completions",
            model_args=f"{place},tokenizer={folder},tokenized_requests=True,max_length=512",
            **known,
        )
    theirs = harness.simple_evaluate(
        model="hf", model_args=f"pretrained={folder},dtype=float32", device="cpu", **known
    )
    assert (
        ours["results"]["tiny_choice"]["acc,none"] == theirs["results"]["tiny_choice"]["acc,none"]
    )
    pairs = zip(ours["samples"]["tiny_choice"], theirs["samples"]["tiny_choice"], strict=True)
    for own, other in pairs:
        told = [(float(one[0][0]), str(one[0][1])) for one in own["resps"]]
        expected = [(float(one[0][0]), str(one[0][1])) for one in other["resps"]]
        assert [value for value, _ in told] == pytest.approx(
            [value for value, _ in expected], abs=1e-4
        )
        assert [greedy for _, greedy in told] == [greedy for _, greedy in expected]
