"""The engine, held to transformers' `generate` on a tiny random Llama."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from fathom.errors import ContextLengthError, NumericError, RequestError
from fathom.generation import generate, modules
from fathom.generation.request import Request, Sampling
from fathom.planning.predict import Forecast

PROMPT = tuple(b"Once upon a time")
NEVER: frozenset[int] = frozenset()


def reference(tiny, prompt: tuple[int, ...], new: int, **options: object) -> list[int]:
    ids = torch.tensor([prompt])
    out = tiny.theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new,
        do_sample=False,
        **options,
    )
    return out[0, len(prompt) :].tolist()


def request(prompt: tuple[int, ...] = PROMPT, new: int | None = 40, **options: object) -> Request:
    return Request(prompt, **{"max_tokens": new, "end": NEVER, **options})  # type: ignore[arg-type]


def finished(generation: generate.Generation) -> generate.Generation:
    assert "".join(generation) == generation.text
    return generation


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("chunk", [1, 3, 16, 512])
def test_greedy_tokens_are_those_of_transformers(tiny, monkeypatch, chunk, penalty) -> None:
    monkeypatch.setattr(modules, "CHUNK", chunk)
    asked = request(sampling=Sampling(repetition_penalty=penalty))
    answer = finished(tiny.engine().generate(asked))
    assert list(answer.tokens) == reference(tiny, PROMPT, 40, repetition_penalty=penalty)
    assert answer.finish_reason == "length"


@pytest.mark.parametrize(
    "options",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        {"attention_bias": True, "tie_word_embeddings": True},
        {"num_key_value_heads": 4},
    ],
    ids=str,
)
def test_other_models_too(build: Callable, options: dict[str, object]) -> None:
    tiny = build(**options)
    answer = finished(tiny.engine().generate(request()))
    assert list(answer.tokens) == reference(tiny, PROMPT, 40)


@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_a_window_that_wraps(build: Callable, monkeypatch, chunk: int) -> None:
    """With a window the state holds fewer tokens than the sequence has."""
    monkeypatch.setattr(modules, "CHUNK", chunk)
    tiny = build("mistral", sliding_window=8)
    answer = finished(tiny.engine().generate(request()))
    assert list(answer.tokens) == reference(tiny, PROMPT, 40)


def test_log_probabilities_agree_with_transformers(tiny) -> None:
    answer = finished(tiny.engine().generate(request(new=10, logprobs=2)))
    with torch.inference_mode():
        whole = torch.tensor([PROMPT + tuple(answer.tokens)])
        expected = tiny.theirs(whole).logits[0, len(PROMPT) - 1 : -1].log_softmax(dim=-1)
    assert answer.logprobs is not None
    for entry, row in zip(answer.logprobs, expected, strict=True):
        assert entry.logprob == pytest.approx(row[entry.token].item(), abs=1e-4)
        assert [other.token for other in entry.top] == row.topk(2).indices.tolist()


def test_an_end_token_stops(tiny) -> None:
    plain = finished(tiny.engine().generate(request()))
    end = plain.tokens[5]
    answer = finished(tiny.engine().generate(request(end=frozenset({end}))))
    assert answer.tokens == plain.tokens[: plain.tokens.index(end) + 1]
    assert answer.finish_reason == "stop"


def test_a_stop_text_across_tokens(tiny) -> None:
    sampling = Sampling(temperature=1.0, seed=2, logit_bias={token: 30 for token in b"abc"})
    plain = finished(tiny.engine().generate(request(sampling=sampling)))
    stop = plain.text[10:14]
    answer = finished(tiny.engine().generate(request(sampling=sampling, stop=stop)))
    assert answer.text == plain.text[: plain.text.index(stop)]
    assert answer.finish_reason == "stop"


def test_the_same_seed_gives_the_same_answer(tiny) -> None:
    engine, sampling = tiny.engine(), Sampling(temperature=1.0, seed=5)
    first = finished(engine.generate(request(sampling=sampling)))
    again = finished(engine.generate(request(sampling=sampling)))
    other = finished(engine.generate(request(sampling=Sampling(temperature=1.0, seed=6))))
    assert first.tokens == again.tokens != other.tokens
    unseeded = finished(engine.generate(request(sampling=Sampling(temperature=1.0))))
    told = Sampling(temperature=1.0, seed=unseeded.seed)
    assert finished(engine.generate(request(sampling=told))).tokens == unseeded.tokens


def test_generations_side_by_side_do_not_meet(tiny) -> None:
    engine = tiny.engine()
    asked = [
        request(sampling=Sampling(temperature=1.0, seed=seed), prompt=PROMPT[seed:])
        for seed in range(3)
    ]
    alone = [finished(tiny.engine().generate(each)).tokens for each in asked]
    together = [engine.generate(each) for each in asked]
    open_ones = list(together)
    while open_ones:
        open_ones = [one for one in open_ones if next(one, None) is not None]
    assert [one.tokens for one in together] == alone


@pytest.mark.parametrize(
    ("prompt", "asked", "context", "fits"),
    [(16, 16, 32, True), (16, 17, 32, False), (31, None, 32, True), (32, None, 32, False)],
)
def test_the_context_is_checked_before_any_work(tiny, prompt, asked, context, fits) -> None:
    engine = tiny.engine(context)
    asked_for = request(tuple(range(prompt)), asked)
    if fits:
        answer = finished(engine.generate(asked_for))
        assert len(answer.tokens) == (asked or context - prompt)
        return
    with pytest.raises(ContextLengthError, match=rf"{prompt} tokens .*context of {context};"):
        engine.generate(asked_for)


def test_without_max_tokens_the_answer_may_fill_the_context(tiny) -> None:
    answer = finished(tiny.engine(64).generate(request(new=None)))
    assert len(answer.tokens) == 64 - len(PROMPT)
    assert answer.finish_reason == "length"


def test_unknown_tokens_are_refused(tiny) -> None:
    with pytest.raises(RequestError, match="token 260"):
        tiny.engine().generate(request((260,)))


def test_broken_weights_are_an_error_and_leave_the_engine_whole(build: Callable) -> None:
    tiny = build()
    engine, weight = tiny.engine(), tiny.ours.layers[1].mixer.output.weight
    sound = finished(engine.generate(request()))
    before = weight[0, 0].item()
    weight[0, 0] = float("nan")
    with pytest.raises(NumericError, match="nan"):
        list(engine.generate(request()))
    weight[0, 0] = before
    assert finished(engine.generate(request())).tokens == sound.tokens


class TestNextTurn:
    """A prompt that begins with all that the state holds is not computed again."""

    @pytest.fixture
    def computed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Lengths of the forward passes."""
        lengths: list[int] = []
        scores = modules.ModuleCourse.scores

        def noted(self, tokens):
            lengths.append(len(tokens))
            return scores(self, tokens)

        monkeypatch.setattr(modules.ModuleCourse, "scores", noted)
        return lengths

    def test_only_the_rest_is_computed(self, tiny, computed: list[int]) -> None:
        engine = tiny.engine()
        first = finished(engine.generate(request(new=None, end=frozenset({0, 10, 32, 200}))))
        turn = PROMPT + tuple(first.tokens) + tuple(b" and then?")
        assert len(turn) < 200
        computed.clear()
        second = finished(engine.generate(request(turn, None)))
        # The last token of an answer was chosen but never computed with.
        assert computed[0] == len(b" and then?") + 1
        assert second.usage.prompt_tokens == len(turn)
        assert second.usage.reused_tokens == len(turn) - computed[0]
        assert first.usage.reused_tokens == 0
        fresh = finished(tiny.engine().generate(request(turn, None)))
        assert second.tokens == fresh.tokens

    @pytest.mark.parametrize("change", ["same", "other", "shorter", "all", "longer"])
    def test_any_other_prompt_is_computed_afresh(self, tiny, computed: list[int], change) -> None:
        engine = tiny.engine()
        first = engine.generate(request(new=None))
        while len(first.tokens) < 10:
            next(first)
        first.close()
        held = PROMPT + tuple(first.tokens[:-1])
        prompt = {
            "same": PROMPT,
            "other": tuple(b"Twice upon a day"),
            "shorter": PROMPT[:-1],
            "all": held,  # nothing would be left to compute scores from
            "longer": (*held[:5], 99, *held[6:], 1, 2, 3),
        }[change]
        computed.clear()
        answer = finished(engine.generate(request(prompt, None)))
        assert computed[0] == len(prompt)
        assert answer.tokens == finished(tiny.engine().generate(request(prompt, None))).tokens

    def test_an_answer_closed_early_can_be_taken_up(self, tiny, computed: list[int]) -> None:
        engine = tiny.engine()
        answer = engine.generate(request(new=None))
        while len(answer.tokens) < 5:
            next(answer)
        answer.close()
        assert answer.finish_reason is None
        assert list(answer) == []
        turn = PROMPT + tuple(answer.tokens) + (33,)
        computed.clear()
        second = finished(engine.generate(request(turn, None)))
        assert computed[0] == 2
        assert second.tokens == finished(tiny.engine().generate(request(turn, None))).tokens

    def test_a_state_is_never_shared(self, tiny) -> None:
        engine = tiny.engine()
        first = engine.generate(request(new=None))
        pieces = [next(first)]
        turn = PROMPT + tuple(first.tokens)
        second = finished(engine.generate(request(turn, None)))  # while the first one is open
        pieces += list(first)
        assert "".join(pieces) == first.text
        assert first.tokens == finished(tiny.engine().generate(request(new=None))).tokens
        assert second.tokens == finished(tiny.engine().generate(request(turn, None))).tokens

    def test_a_kept_state_of_another_size_is_not_taken(self, tiny) -> None:
        engine = tiny.engine()
        for new, capacity in ((1, 64), (100, 128), (1, 64)):
            answer = finished(engine.generate(request(new=new)))
            assert len(answer.tokens) == new
            assert engine._kept is not None
            assert engine._kept.capacity == capacity

    def test_forgetting_frees_the_state(self, tiny) -> None:
        engine = tiny.engine()
        finished(engine.generate(request()))
        assert engine._kept is not None
        state = weakref.ref(engine._kept)
        engine.forget()
        gc.collect()
        assert state() is None


def test_an_interrupt_lets_the_state_go(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine()
    expected = finished(engine.generate(request())).tokens
    hidden, calls = type(tiny.ours).hidden, []

    def interrupted(self, *args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return hidden(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(tiny.ours), "hidden", interrupted)
        answer = engine.generate(request())
        with pytest.raises(KeyboardInterrupt):
            list(answer)
    assert answer.tokens == expected[:3]
    assert answer.measured.peak_memory_bytes is not None
    assert engine._kept is None
    assert finished(engine.generate(request())).tokens == expected


def test_the_readers_thread_keeps_its_own_modes(tiny) -> None:
    """Inference mode must not leak from a suspended generation to whoever reads it."""
    for _ in tiny.engine().generate(request(new=3)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_figures(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of our own every figure is known: one second per look at it."""
    from fathom.generation import measuring

    ticks = iter(range(10_000))
    monkeypatch.setattr(measuring, "perf_counter", lambda: float(next(ticks)))
    engine = generate.Engine(tiny.forward, tiny.tokenizer, load_seconds=1.5)
    answer = engine.generate(request(new=9))
    assert answer.usage.completion_tokens == 0
    assert answer.measured.seconds_to_first_token is None
    measured = finished(answer).measured
    assert measured.seconds_to_first_token == 2.0  # start, begin, end
    assert measured.prefill_tokens_per_second == len(PROMPT)
    assert measured.decode_tokens_per_second == 1.0
    assert measured.load_seconds == 1.5
    held = sum(parameter.nbytes for parameter in tiny.ours.parameters())
    assert measured.peak_memory_bytes is not None
    assert held < measured.peak_memory_bytes < 2**40
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(PROMPT), 9)
    assert answer.predicted == Forecast()  # whoever forecasts sets it


def test_one_token_has_no_rate(tiny) -> None:
    measured = finished(tiny.engine().generate(request(new=1))).measured
    assert measured.decode_tokens_per_second is None
    assert measured.seconds_to_first_token is not None


@pytest.mark.parametrize(("new", "capacity"), [(1, 64), (48, 64), (49, 128), (None, 250)])
def test_the_state_is_as_large_as_the_request(tiny, new: int | None, capacity: int) -> None:
    engine = tiny.engine(context=250)
    generation = engine.generate(request(new=new))
    next(generation, None)
    generation.close()
    assert engine._kept is not None
    assert engine._kept.capacity == capacity
