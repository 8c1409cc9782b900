"""Score a folder's model with lm-evaluation-harness, over HTTP and in process; a program.

    python harness.py REQUEST        REQUEST and what is printed are JSON

It is one of its own, as what the harness brings would be there for all other tests.
"""

from __future__ import annotations

import json
import sys

import lm_eval
from lm_eval.tasks import TaskManager


def main(request: str) -> None:
    asked = json.loads(request)
    known = {
        "tasks": [asked["task"]],
        "task_manager": TaskManager(include_path=asked["tasks"]),
        "log_samples": True,
        "bootstrap_iters": 0,
    }
    found = {}
    for name, (model, words) in asked["models"].items():
        told = lm_eval.simple_evaluate(model=model, model_args=words, device="cpu", **known)
        samples = [
            [(float(one[0][0]), str(one[0][1])) for one in sample["resps"]]
            for sample in told["samples"][asked["task"]]
        ]
        accuracy = told["results"][asked["task"]]["acc,none"]
        found[name] = {"accuracy": accuracy, "samples": samples}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
