"""The engine over a native program: the same answers as over modules."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from fathom.errors import ContextLengthError, NumericError
from fathom.generation.forward import NativeForward
from fathom.generation.generate import Engine
from fathom.generation.greedy import likeliest
from fathom.generation.request import Request, Sampling
from fathom.ops.native import native
from fathom.ops.program import Program
from fathom.programs.layout import StateType
from fathom.programs.lowering_decoder import lower
from fathom.programs.steps import Matrix

from .conftest import CONTEXT, Tiny

PROMPT = tuple(b"Once upon a time, there was a window through which little could be seen. ")


class ModuleWeights:
    """A module's own parameters, packed as float32."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.named = {name: each.detach().float() for name, each in module.named_parameters()}

    def matrix(self, matrix: Matrix) -> object:
        values = self.named[matrix.name].numpy()
        packed = native().PackedMatrix("F32", *values.shape)  # type: ignore[union-attr]
        packed.pack(np.ascontiguousarray(values).view(np.uint8).reshape(-1))
        return packed

    def vector(self, name: str) -> np.ndarray:
        return self.named[name].numpy().reshape(-1)


def forward(
    tiny: Tiny, most_tokens: int, threads: int = 2, state: StateType = "float32"
) -> NativeForward:
    plan = lower(tiny.ours.spec, state)
    weights = ModuleWeights(tiny.ours)
    program = Program(plan, weights, most_tokens=most_tokens, threads=threads)
    return NativeForward(tiny.ours.spec, program)


def request(prompt: tuple[int, ...] = PROMPT, new: int = 60, **options: object) -> Request:
    return Request(prompt, max_tokens=new, end=frozenset(), **options)  # type: ignore[arg-type]


def tokens(engine: Engine, asked: Request) -> tuple[int, ...]:
    generation = engine.generate(asked)
    for _ in generation:
        pass
    return tuple(generation.tokens)


@pytest.mark.parametrize("most_tokens", [1, 7, 64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": Sampling(temperature=0.9, top_k=20, seed=3)},
        {"sampling": Sampling(repetition_penalty=1.3)},
        {"logprobs": 2},
    ],
    ids=["greedy", "sampled", "penalised", "logprobs"],
)
def test_answers_are_those_of_the_modules(
    tiny: Tiny, most_tokens: int, options: dict[str, object]
) -> None:
    """Past every window, in chunks of any size, and again from the state that was kept."""
    engine = Engine(forward(tiny, most_tokens), tiny.tokenizer, context=CONTEXT)
    expected = tokens(tiny.engine(), request(**options))
    assert tokens(engine, request(**options)) == expected
    turn = (*PROMPT, *expected[:-1], *b" More.")
    assert tokens(engine, request(turn, 20, **options)) == tokens(
        tiny.engine(), request(turn, 20, **options)
    )


def test_more_than_the_state_can_hold_is_refused(tiny: Tiny) -> None:
    course = forward(tiny, 64).begin(64)
    course.scores(PROMPT[:60])
    with pytest.raises(ContextLengthError, match="64"):
        course.scores(PROMPT[:5])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_scores_are_refused(broken: float) -> None:
    scores = np.array([1.0, 3.0, 3.0, -2.0], dtype=np.float32)
    assert likeliest(scores) == 1
    scores[3] = broken
    with pytest.raises(NumericError, match="try float32"):
        likeliest(scores)


def test_the_native_way_needs_no_torch() -> None:
    """Opening and answering load none: half of the time to the first token would go there."""
    import subprocess

    code = (
        "import sys, fathom\n"
        "model = fathom.open('smollm2:135m')\n"
        "options = {'max_tokens': 3, 'temperature': 0.8, 'top_p': 0.9, 'logprobs': 1}\n"
        "answer = model.generate('Once upon a time', repetition_penalty=1.1, **options)\n"
        "print(len(list(answer)) > 0, model.program is not None, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]
