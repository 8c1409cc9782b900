"""The evaluation harness scores a model over HTTP as it does the same one in process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from library import tiny
from serving.conftest import Start

INSTALLED = Path(sys.prefix) / "harness"  # by the Makefile, from harness.txt
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
def test_scores_are_the_same_over_http(start: Start, tmp_path: Path) -> None:
    if not (INSTALLED / "lm_eval").is_dir():
        pytest.skip("the evaluation harness is not there; `make test` installs it")
    rows = [{"question": q, "choices": c, "answer": a} for q, c, a in QUESTIONS]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "tiny_choice.yaml").write_text(TASK.format(file=file))
    folder = tiny.make(tmp_path / "model", max_position_embeddings=512)
    with start(str(folder)) as running:
        place = f"model={running.model},base_url={running.url}/v1/completions"
        more = f"tokenizer={folder},tokenized_requests=True,max_length=512"
        models = {
            "ours": ("local-completions", f"{place},{more}"),
            "theirs": ("hf", f"pretrained={folder},dtype=float32"),
        }
        asked = {"task": "tiny_choice", "tasks": str(tasks), "models": models}
        found = evaluated(asked, tmp_path)
    ours, theirs = found["ours"], found["theirs"]
    assert ours["accuracy"] == theirs["accuracy"]
    assert len(ours["samples"]) == len(QUESTIONS)
    for own, other in zip(ours["samples"], theirs["samples"], strict=True):
        expected = pytest.approx([value for value, _ in other], abs=1e-4)
        assert [value for value, _ in own] == expected
        assert [greedy for _, greedy in own] == [greedy for _, greedy in other]


def evaluated(asked: dict[str, object], folder: Path) -> dict[str, dict]:
    """Return what the harness says of several models; it reaches nothing but this machine."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(INSTALLED),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(Path(__file__).with_name("harness.py")), json.dumps(asked)]
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
