"""The engine for many requests: whatever runs beside it, an answer is the one that it is alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.errors import (
    AnswerLostError,
    BusyError,
    ContextLengthError,
    DeadlineError,
    DoesNotFitError,
    NumericError,
    RequestError,
    UnsupportedTaskError,
)
from fathom.generation.batching.engine import BatchEngine, Bounds, Handle
from fathom.generation.batching.executors import executor_for
from fathom.generation.forward import Forward
from fathom.generation.generate import Engine
from fathom.generation.request import Request, Sampling
from fathom.planning.costs import state_bytes
from generation.conftest import CONTEXT, Tiny
from generation.test_native import forward as native_forward
from waiting import LONGEST, wait_for

SHARED = tuple(b"Once upon a time, there was a window through which little could be seen. ")
WAYS = ("native", "halves", "modules")
SAMPLINGS = (
    Sampling(),
    Sampling(repetition_penalty=1.3),
    Sampling(temperature=0.9, top_k=20, seed=3),
    Sampling(temperature=1.0, top_p=0.8, presence_penalty=1.0, seed=11),
)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def forward(way: str, tiny: Tiny) -> Forward:
    if way == "modules":
        return tiny.forward
    state = "float16" if way == "halves" else "float32"
    return native_forward(tiny, 64, threads=1, state=state)


@pytest.fixture(scope="module")
def native(tiny: Tiny) -> Forward:
    return native_forward(tiny, 64, threads=1)


@pytest.fixture(scope="module", params=[64, 128])
def halves(request: pytest.FixtureRequest, tiny: Tiny) -> Forward:
    """Keys in float16, for which there are other kernels from 64 tokens on."""
    return native_forward(tiny, request.param, threads=1, state="float16")


@contextmanager
def engine(
    tiny: Tiny, forward: Forward, tokens: int = 4096, **bounds: float
) -> Iterator[BatchEngine]:
    """An engine with room for the state of so many tokens, which is all free in the end."""
    cost = partial(state_bytes, tiny.ours.spec, "float32")
    memory = cost(tokens)
    if hasattr(forward, "program"):
        memory = sum(pool.page_bytes for pool in forward.program.plan.pools) * (tokens // 32)
    asked = Bounds(memory, **bounds)  # type: ignore[arg-type]
    executor = executor_for(
        forward, memory=memory, sequences=asked.most_sequences, context=CONTEXT, cost=cost
    )
    made = BatchEngine(executor, tiny.tokenizer, asked, context=CONTEXT)
    yield made
    made.close(within=LONGEST)
    figures = made.figures()
    assert (figures.waiting, figures.running, figures.waiting_tokens) == (0, 0, 0)
    assert figures.pages_free == figures.pages_total


def asked(prompt: Sequence[int] = SHARED, new: int | None = 20, **options: object) -> Request:
    return Request(prompt, max_tokens=new, **{"end": frozenset(), **options})  # type: ignore[arg-type]


def alone(tiny: Tiny, forward: Forward, request: Request) -> tuple[int, ...]:
    generation = Engine(forward, tiny.tokenizer, context=CONTEXT).generate(request)
    for _ in generation:
        pass
    return tuple(generation.tokens)


def read(handle: Handle) -> tuple[int, ...]:
    assert "".join(handle) == handle.text
    assert handle.finish_reason is not None
    return tuple(handle.tokens)


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, len(SHARED)),  # tokens of the shared beginning
        st.binary(min_size=1, max_size=40),
        st.integers(1, 40),  # of the answer
        st.sampled_from(SAMPLINGS),
        st.sampled_from([None, None, None, 0, 3]),  # pieces after which it is given up
    ),
    min_size=2,
    max_size=16,
)


@given(requests=REQUESTS, pages=st.sampled_from([6, 9, 128]), sequences=st.sampled_from([1, 4, 16]))
@settings(max_examples=10, deadline=None)
def test_an_answer_is_the_same_alone_and_among_others(
    tiny: Tiny, forward: Forward, requests: list[tuple], pages: int, sequences: int
) -> None:
    """With and without room for all, prefixes that are shared, and others that are given up."""
    made = [
        asked((*SHARED[:shared], *own), new, sampling=sampling)
        for shared, own, new, sampling, _ in requests
    ]
    expected = [alone(tiny, forward, each) for each in made]
    with engine(tiny, forward, 32 * pages, most_sequences=sequences) as together:
        handles = [together.submit(each) for each in made]
        for handle, (*_, leaves) in zip(handles, requests, strict=True):
            if leaves is not None:
                for _ in range(leaves):
                    next(handle, None)
                handle.cancel()
        for handle, tokens, (*_, leaves) in zip(handles, expected, requests, strict=True):
            if leaves is None:
                assert read(handle) == tokens
            else:
                assert tuple(handle.tokens) == tokens[: len(handle.tokens)]


def test_the_bits_of_a_prompt_do_not_depend_on_its_company(
    tiny: Tiny, halves: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on what runs beside it, what of it is known, or how often it was put back."""
    made = asked((*SHARED, *SHARED[:70], 9), 30)

    def scores_of(pages: int, others: Sequence[Request]) -> list[np.ndarray]:
        with engine(tiny, halves, 32 * pages) as together:
            run, gate = together.executor.run, threading.Event()

            def watched(works):
                gate.wait(LONGEST)
                outcomes = run(works)
                for work, outcome in zip(works, outcomes, strict=True):
                    if outcome is not None and work.track.order == len(others):
                        kept.append(outcome.copy())
                return outcomes

            kept: list[np.ndarray] = []
            monkeypatch.setattr(together.executor, "run", watched)
            handles = [together.submit(each) for each in (*others, made)]
            gate.set()
            for handle in handles:
                read(handle)
            if pages < 20:
                assert together.figures().preemptions
            return kept

    lone = scores_of(64, ())
    company = [asked((*SHARED[:cut], 7), 90) for cut in (5, 33, 64, 70)]
    for pages, others in [(64, company), (64, [made, *company]), (8, company)]:
        found = scores_of(pages, others)
        assert len(found) == len(lone) == 30
        assert all(map(np.array_equal, found, lone))


def test_pages_run_out_and_nobody_notices(tiny: Tiny, native: Forward) -> None:
    made = [asked((*SHARED[:40], index), 100) for index in range(6)]
    with engine(tiny, native, 32 * 9) as together:
        handles = [together.submit(each) for each in made]
        for handle, each in zip(handles, made, strict=True):
            assert read(handle) == alone(tiny, native, each)
        assert together.figures().preemptions > 0


def test_a_prompt_is_read_from_where_it_parts_from_earlier_ones(
    tiny: Tiny, way: str, forward: Forward
) -> None:
    with engine(tiny, forward) as together:
        first = together.submit(asked(new=None))
        answer = read(first)
        assert (first.usage.reused_tokens, len(answer)) == (0, CONTEXT - len(SHARED))
        turn = asked((*SHARED, *answer[:100], *b" And then?"), new=None)
        again = together.submit(turn)
        assert read(again) == alone(tiny, forward, turn)
        every = len(SHARED) + 100  # the page where they part is copied
        halves = 64  # what was written is read again in whole pieces
        known = {"native": every, "halves": halves, "modules": 0}[way]
        assert again.usage.reused_tokens == known
        salted = together.submit(turn, salt="somebody else")
        read(salted)
        assert salted.usage.reused_tokens == 0
        assert together.figures().reused_tokens == again.usage.reused_tokens


def test_a_state_in_one_piece_is_taken_up_by_the_next_turn(tiny: Tiny) -> None:
    with engine(tiny, tiny.forward) as together:
        answer = read(together.submit(asked(SHARED[:30], 20)))
        turn = asked((*SHARED[:30], *answer, 7), 12)
        again = together.submit(turn)
        assert read(again) == alone(tiny, tiny.forward, turn)
        assert again.usage.reused_tokens == 49


def test_several_answers_read_the_prompt_once(tiny: Tiny, native: Forward) -> None:
    request = asked(sampling=Sampling(temperature=1.0, seed=5))
    with engine(tiny, native) as together:
        handles = together.submit_several(request, 3)
        answers = [read(handle) for handle in handles]
    assert len(set(answers)) == 3
    assert [handle.seed for handle in handles] == [5, 6, 7]
    assert answers[0] == alone(tiny, native, request)
    assert [handle.usage.reused_tokens for handle in handles] == [0, 64, 64]


def test_a_listener_hears_everything_whenever_it_comes(tiny: Tiny, native: Forward) -> None:
    heard: list[list[object]] = [[], []]
    with engine(tiny, native) as together:
        handle = together.submit(asked())
        handle.add_listener(heard[0].append)
        handle.add_listener(lambda piece: 1 / 0)  # one reader's fault is not the others'
        text = "".join(handle)
        handle.add_listener(heard[1].append)
    for each in heard:
        assert "".join(map(str, each[:-1])) == text == handle.text
        assert each[-1] is None
    assert handle.measured.seconds_to_first_token is not None
    assert handle.measured.decode_tokens_per_second is not None


@pytest.mark.parametrize("when", ["waiting", "reading", "writing"])
def test_what_is_given_up_frees_its_place(
    tiny: Tiny, forward: Forward, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(tiny, forward, most_sequences=1) as together:
        steps, gate = [0], threading.Event()
        run = together.executor.run

        def slowly(works):
            steps[0] += 1
            if steps[0] == (1 if when != "writing" else 3):
                gate.wait(LONGEST)
            return run(works)

        monkeypatch.setattr(together.executor, "run", slowly)
        handle, other = together.submit(asked(new=100)), together.submit(asked(SHARED[5:]))
        gone = other if when == "waiting" else handle
        wait_for(lambda: steps[0] == (1 if when != "writing" else 3))
        gone.cancel()
        assert gone.wait(LONGEST / 2) and gone.finish_reason is None
        gate.set()
        kept = handle if gone is other else other
        read(kept)
        assert len(gone.tokens) < 20
        assert together.figures().cancelled == 1


def test_a_deadline_ends_an_answer_wherever_it_is(tiny: Tiny, native: Forward) -> None:
    with engine(tiny, native, most_sequences=1) as together:
        late = together.submit(asked(new=100), deadline=0.0)
        with pytest.raises(DeadlineError):
            list(late)
        assert read(together.submit(asked(), deadline=LONGEST))


class TestRefusals:
    """All before any work."""

    def test_what_cannot_be(self, tiny: Tiny, forward: Forward) -> None:
        with engine(tiny, forward, 128) as together:
            for request, error in [
                (asked(new=CONTEXT), ContextLengthError),
                (asked((260,)), RequestError),
                (asked(new=100), DoesNotFitError),
            ]:
                with pytest.raises(error):
                    together.submit(request)
            assert len(read(together.submit(asked()))) == 20
            assert together.figures().failed == 0

    def test_less_memory_than_a_page(self, tiny: Tiny, native: Forward) -> None:
        with pytest.raises(DoesNotFitError, match="at least"):
            executor_for(native, memory=10, sequences=1, context=CONTEXT, cost=lambda size: 0)

    @pytest.mark.parametrize(
        ("bounds", "taken"), [({"queue_requests": 2}, 3), ({"queue_tokens": 300}, 4)]
    )
    def test_a_full_queue(
        self,
        tiny: Tiny,
        native: Forward,
        bounds: dict[str, int],
        taken: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with engine(tiny, native, most_sequences=1, **bounds) as together:
            gate, began = threading.Event(), threading.Event()
            run = together.executor.run

            def held(works):
                began.set()
                gate.wait(LONGEST)
                return run(works)

            monkeypatch.setattr(together.executor, "run", held)
            handles = [together.submit(asked())]
            began.wait(LONGEST)
            with pytest.raises(BusyError) as refused:
                while len(handles) < 10:
                    handles.append(together.submit(asked()))
            assert len(handles) == taken
            assert 1 <= refused.value.retry_after <= 120
            with pytest.raises(BusyError):
                together.submit_several(asked(), 4)
            gate.set()
            for handle in handles:
                read(handle)
            assert read(together.submit(asked()))

    def test_what_would_wait_too_long(
        self, tiny: Tiny, native: Forward, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """D-10: told when the queue will have shrunk, by how quickly steps go."""
        with engine(tiny, native, most_sequences=1, most_wait=30.0) as together:
            assert together.figures().wait == 0.0
            gate, began = threading.Event(), threading.Event()
            run = together.executor.run

            def held(works):
                began.set()
                gate.wait(LONGEST)
                return run(works)

            read(together.submit(asked(new=2)))
            monkeypatch.setattr(together.executor, "run", held)
            for _ in range(400):  # a step takes a second, as far as is known
                together._worker._pace.learn(0, 1, 1.0)
            handles = [together.submit(asked(new=24))]
            began.wait(LONGEST)
            handles.append(together.submit(asked(new=24)))  # after some 24 steps
            with pytest.raises(BusyError, match="would begin in") as refused:
                together.submit(asked(new=24))
            wait = together.figures().wait
            assert 30 < wait < 60
            assert refused.value.retry_after == pytest.approx(wait - 30, rel=0.1)
            with pytest.raises(BusyError):
                together.require_place()
            for _ in range(64):  # prompts that take long are waited for
                together._worker._tally.read(1000)
            handles.append(together.submit(asked(new=24)))
            gate.set()
            for handle in handles:
                read(handle)
            assert read(together.submit(asked()))

    def test_a_closed_engine(self, tiny: Tiny, native: Forward) -> None:
        with engine(tiny, native) as together:
            handle = together.submit(asked())
            together.close()
            assert read(handle)
            with pytest.raises(BusyError, match="closing"):
                together.submit(asked())

    def test_vectors_in_the_prompt_of_a_program(self, tiny: Tiny, native: Forward) -> None:
        class Vectors:
            start, end, key, extent = 0, 1, 0, None

        with engine(tiny, native) as together, pytest.raises(UnsupportedTaskError):
            together.submit(asked(inserts=(Vectors(),)))


def test_closing_without_draining_leaves_nobody_hanging(
    tiny: Tiny, native: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(tiny, native, most_sequences=2) as together:
        run, gate = together.executor.run, threading.Event()

        def held(works):
            gate.wait(LONGEST)
            return run(works)

        monkeypatch.setattr(together.executor, "run", held)
        handles = [together.submit(asked(new=150)) for _ in range(6)]
        together.close(drain=False)
        for handle in handles:
            assert handle.wait(LONGEST / 2)
            with pytest.raises(AnswerLostError):
                list(handle)
        gate.set()


@pytest.mark.parametrize("fault", ["step", "scores", "order"])
def test_a_fault_ends_its_answers_and_the_engine_goes_on(
    tiny: Tiny, native: Forward, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(tiny, native) as together:
        expected = read(together.submit(asked()))
        run, done, both = together.executor.run, [], threading.Event()

        def broken(works):
            both.wait(LONGEST)  # are asked for, so that every fault meets both
            done.append(works)
            if fault == "step" and len(done) == 4:
                raise MemoryError("no more")
            scores = run(works)
            if fault == "scores" and len(done) == 4:
                scores[0] = np.full_like(scores[0], np.nan)
            return scores

        with monkeypatch.context() as patch:
            patch.setattr(together.executor, "run", broken)
            if fault == "order":
                patch.setattr(type(together._worker._scheduler), "plan", lambda self: [])
            handles = [together.submit(asked()) for _ in range(2)]
            both.set()
            kind = NumericError if fault == "scores" else AnswerLostError
            with pytest.raises(kind):
                list(handles[0])
            if fault == "scores":
                assert read(handles[1]) == expected
            else:
                with pytest.raises(AnswerLostError):
                    list(handles[1])
        assert read(together.submit(asked())) == expected
        assert together.figures().failed == (1 if fault == "scores" else 2)


def test_many_threads_ask_and_leave_at_will(tiny: Tiny, native: Forward) -> None:
    """Nothing is left behind by readers that come and go."""
    with engine(tiny, native, 32 * 40, queue_requests=500, queue_tokens=2**20) as together:
        expected = {index: alone(tiny, native, asked((index,), 10)) for index in range(8)}
        wrong: list[int] = []

        def client(seed: int) -> None:
            random = np.random.default_rng(seed)
            for _ in range(15):
                index = int(random.integers(8))
                handle = together.submit(asked((index,), 10), owner=str(seed))
                for _ in range(int(random.integers(8))):
                    next(handle, None)
                if random.random() < 0.5:
                    handle.cancel()
                elif not handle.wait(LONGEST) or tuple(handle.tokens) != expected[index]:
                    wrong.append(index)

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST)
        assert not wrong
        wait_for(lambda: not together.figures().running)
