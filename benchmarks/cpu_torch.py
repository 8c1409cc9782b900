"""Transformers and sentence-transformers answering `benchmarks/cpu.py`: see there for questions.

python benchmarks/cpu_torch.py decode FILE      # a GGUF file, in bfloat16
python benchmarks/cpu_torch.py embed FOLDER TEXTS.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import torch


class Writer:
    """A model of transformers, in bfloat16."""

    name = "transformers"

    def __init__(self, path: str) -> None:
        from transformers import AutoModelForCausalLM

        file = Path(path).resolve()
        self.model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.bfloat16
        ).eval()

    def decode(self, tokens: list[int], count: int) -> float:
        ids = torch.tensor([tokens])
        settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        self.model.generate(ids, max_new_tokens=1, **settings)
        began = perf_counter()
        self.model.generate(ids, max_new_tokens=1, **settings)
        read = perf_counter() - began
        began = perf_counter()
        self.model.generate(ids, min_new_tokens=count + 1, max_new_tokens=count + 1, **settings)
        return perf_counter() - began - read


class Embedder:
    """A model of sentence-transformers, in float32."""

    name = "sentence-transformers"

    def __init__(self, path: str, texts: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(path, device="cpu")
        self.texts = json.loads(Path(texts).read_text())

    def embed(self, tokens: list[int], path: str) -> float:
        began = perf_counter()
        vectors = self.model.encode(self.texts, normalize_embeddings=True)
        took = perf_counter() - began
        if isinstance(path, str):
            np.save(path, vectors)
        return took


def main(kind: str, *arguments: str) -> None:
    peer = {"decode": Writer, "embed": Embedder}[kind](*arguments)
    print(json.dumps({"ready": f"{peer.name} {version(peer.name)}"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        took = getattr(peer, asked["what"])(asked["tokens"], asked["more"])
        print(json.dumps({"seconds": took}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
