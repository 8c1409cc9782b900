"""llama.cpp answering `benchmarks/cpu.py`, in the peers' environment: see `cpu.py` for questions.

    python benchmarks/cpu_llama.py serve FILE THREADS FLASH
    python benchmarks/cpu_llama.py quantise FROM TO TYPE

It calls the C interface alone, so that nothing of Python stands between tokens.
"""

import ctypes
import json
import sys
from importlib.metadata import version
from time import perf_counter

import llama_cpp as api
import numpy as np

CONTEXT = 4608
BATCH = 512
SEQUENCES = 8  # at once


@api.llama_log_callback
def _quiet(level, text, user):
    """Keep what it logs out of the answers."""


class Peer:
    """One model in a context of its own."""

    def __init__(self, path: str, threads: int, flash: bool) -> None:
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        settings = api.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = CONTEXT, BATCH, BATCH
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = int(flash)
        settings.n_seq_max, settings.kv_unified = SEQUENCES, True
        self.context = api.llama_init_from_model(self.model, settings)
        self.vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def take(self, tokens: list[int]) -> np.ndarray:
        """Read tokens, and return the scores after the last, (vocabulary,)."""
        for start in range(0, len(tokens), BATCH):
            piece = tokens[start : start + BATCH]
            array = (api.llama_token * len(piece))(*piece)
            if api.llama_decode(self.context, api.llama_batch_get_one(array, len(piece))):
                raise RuntimeError("llama_decode failed")
        return self._scores(-1)

    def _scores(self, index: int) -> np.ndarray:
        found = api.llama_get_logits_ith(self.context, index)
        return np.ctypeslib.as_array(found, shape=(self.vocabulary,))

    def forget(self) -> None:
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def prefill(self, tokens: list[int], count: int) -> float:
        self.forget()
        began = perf_counter()
        self.take(tokens)
        return perf_counter() - began

    def decode(self, tokens: list[int], count: int) -> float:
        self.forget()
        scores = self.take(tokens)
        began = perf_counter()
        for _ in range(count):
            scores = self.take([int(scores.argmax())])
        return perf_counter() - began

    def together(self, tokens: list[int], count: int) -> float:
        """Write `count` tokens after each of eight prompts, a token of each at a time."""
        size = len(tokens) // SEQUENCES
        prompts = [tokens[index * size : (index + 1) * size] for index in range(SEQUENCES)]
        self.forget()
        for index, prompt in enumerate(prompts):
            self._several([(token, place, index) for place, token in enumerate(prompt)])
        last = [prompt[-1] for prompt in prompts]
        began = perf_counter()
        for step in range(count):
            rows = self._several([(token, size + step, i) for i, token in enumerate(last)])
            last = [int(row.argmax()) for row in rows]
        return perf_counter() - began

    def _several(self, tokens: list[tuple[int, int, int]]) -> list[np.ndarray]:
        """Take tokens with their places and sequences in; return the scores after each."""
        batch = api.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for index, (token, place, sequence) in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, place
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = 1
        if api.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")
        api.llama_batch_free(batch)
        return [self._scores(index) for index in range(len(tokens))]

    def scores(self, tokens: list[int], path: str) -> float:
        """Save the scores after each of up to BATCH tokens, (tokens, vocabulary)."""
        self.forget()
        rows = self._several([(token, place, 0) for place, token in enumerate(tokens)])
        np.save(path, np.stack(rows))
        return 0.0


def serve(path: str, threads: str, flash: str) -> None:
    peer = Peer(path, int(threads), flash == "1")
    print(json.dumps({"ready": f"llama-cpp-python {version('llama-cpp-python')}"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        took = getattr(peer, asked["what"])(asked["tokens"], asked["more"])
        print(json.dumps({"seconds": took}), flush=True)


def quantise(source: str, target: str, kind: str) -> None:
    settings = api.llama_model_quantize_default_params()
    settings.ftype = getattr(api, f"LLAMA_FTYPE_MOSTLY_{kind}")
    settings.allow_requantize = True
    if api.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings)):
        raise RuntimeError(f"{target} could not be written")


if __name__ == "__main__":
    api.llama_log_set(_quiet, ctypes.c_void_p())
    {"serve": serve, "quantise": quantise}[sys.argv[1]](*sys.argv[2:])
