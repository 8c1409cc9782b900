"""Choosing: the front is a front, hard constraints hold, and a relaxed one brings what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fathom.catalog.constraints import constraints
from fathom.catalog.hardware import hardware
from fathom.catalog.models import configuration, models
from fathom.catalog.results import Result
from fathom.catalog.tasks import tasks
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError, NotFoundError, RequestError
from fathom.planning import costs
from fathom.planning.candidates import KINDS, Candidate
from fathom.planning.choosing import Answer, _beats, choose
from fathom.planning.deciding import Wishes, decide
from fathom.planning.extending import program_prediction, stored_prediction
from fathom.planning.native import predict_native
from fathom.planning.opened import as_named, packed
from fathom.planning.predict import predict
from fathom.planning.programs import why_modules
from fathom.planning.storing import MIXES, stored_as, stored_bytes
from fathom.planning.target import bytes_per_number, computed_dtype, data_sheet_rates, target
from fathom.spec.model import TextModel
from planning.test_native import KNOWN

GPU = "RTX 4090"
SPECS = {
    one.config: published_spec(configuration(one.config))
    for model in models().values()
    for one in model.variants
    if one.config is not None
}
TEXTS = sorted(name for name, spec in SPECS.items() if isinstance(spec, TextModel))


@pytest.mark.parametrize("name", TEXTS)
def test_extending_by_kinds_of_layers_is_the_prediction_of_the_whole(name: str) -> None:
    spec = SPECS[name]
    rates = target(GPU, None, "bfloat16").rates
    context = min(4096, spec.context)
    whole = predict(spec, dtype="bfloat16", context=context, rates=rates)
    found = stored_prediction(spec, "bfloat16", context, rates)
    assert dict(found.terms) == dict(whole.terms)
    assert found.decode_tokens_per_second == pytest.approx(whole.decode_tokens_per_second)
    assert found.prefill_tokens_per_second == pytest.approx(whole.prefill_tokens_per_second)


@pytest.mark.parametrize("name", TEXTS)
def test_a_program_extended_by_sorts_of_layers_is_that_of_the_whole(name: str) -> None:
    """In a mix, whose layers are of two sorts even where they are alike."""
    spec = SPECS[name]
    context = min(4096, spec.context)
    found = program_prediction(spec, "Q4_K_M", context, KNOWN, "cpu")
    if found is None:
        assert why_modules(spec, device="cpu")
        return
    programs = packed(spec, "bfloat16", as_named(spec, "Q4_K_M"), KNOWN)
    whole = predict_native(programs, context)
    assert dict(found.terms) == dict(whole.terms)
    assert found.decode_tokens_per_second == pytest.approx(whole.decode_tokens_per_second)
    assert found.prefill_tokens_per_second == pytest.approx(whole.prefill_tokens_per_second)


STORED = (*costs.BYTES, *MIXES, "Q8_0", "q4_0")


def test_packed_weights_take_the_bytes_of_their_encoding() -> None:
    spec = published_spec(configuration("llama-3.1-8b"))
    found = {
        stored: stored_prediction(spec, stored, 1024, target(GPU, None, stored).rates)
        for stored in STORED
    }
    plain = costs.weight_bytes(spec, costs.computed_in("bfloat16"))
    assert found["bfloat16"].weights_bytes == plain
    assert found["Q8_0"].weights_bytes == pytest.approx(plain * 34 / 64, rel=1e-3)
    assert 1 <= found["q4_0"].weights_bytes / (plain * 18 / 64) < 1.1  # its output is finer
    order = ("float32", "bfloat16", "Q8_0", "Q4_K_M", "q4_0")
    speeds = [found[stored].decode_tokens_per_second for stored in order]
    assert speeds == sorted(speeds)


@pytest.mark.parametrize("config", ["gemma-3-4b", "deepseek-v3", "mamba-2.8b"])
def test_layers_counted_once_weigh_what_all_of_them_weigh(config: str) -> None:
    """Of a tied output, of experts beside dense layers, of what has no attention."""
    spec = published_spec(configuration(config))
    found = {stored: stored_bytes(spec, stored) for stored in STORED}
    assert found == {one: costs.weight_bytes(spec, stored_as(spec, one)) for one in STORED}


def test_decoding_cannot_pass_the_memory_of_the_data_sheet() -> None:
    """Each token reads every weight but the embedding's table."""
    spec = published_spec(configuration("llama-2-7b"))
    rates = target(GPU, None, "bfloat16").rates
    found = stored_prediction(spec, "bfloat16", 2, rates)
    read = found.weights_bytes - spec.vocabulary * spec.width * 2
    assert found.decode_tokens_per_second == pytest.approx(rates.memory_read / read, rel=1e-3)


@pytest.mark.parametrize("entry", hardware().values(), ids=lambda entry: entry.name)
def test_hardware_has_rates_where_its_maker_states_arithmetic(entry) -> None:
    rates = data_sheet_rates(entry, "bfloat16")
    stated = entry.rates.get("bfloat16") or entry.rates.get("float32")
    assert (rates is None) == (stated is None)
    if rates is not None:
        seconds = rates.product_seconds("bfloat16", 1000, 1000, 1)
        assert seconds == pytest.approx(2e6 / entry.bandwidth)
        assert rates.product_seconds("bfloat16", 8, 8, 1e6) == pytest.approx(128e6 / stated)


@pytest.mark.parametrize("stored", STORED)
def test_a_stored_type_is_computed_in_a_type(stored: str) -> None:
    assert computed_dtype(stored) in costs.BYTES
    assert 0.5 < bytes_per_number(stored) <= 4


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(RequestError, match="weights 'q3' are no type, encoding or mix"):
        choose(Wishes(task="chat", stored="q3"))


def test_a_configuration_without_a_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 'model_type'"):
        published_spec({"hidden_size": 4})


def candidate(memory: int, speed: float, results: dict[str, float]) -> Candidate:
    """Return a candidate that has only what the front looks at."""
    found = stored_prediction(published_spec(configuration("smollm2-135m")), "bfloat16", 64, None)
    return Candidate(
        *("m", "v", "M", (), None, 1, 1, None, None, None),
        memory_bytes=memory,
        predicted=replace(found, decode_tokens_per_second=speed),
        first_token_seconds=None,
        results=tuple(
            Result(test, value, "base", "published", "arxiv:1", "2025")
            for test, value in results.items()
        ),
    )


few = some.integers(1, 4)
sides = some.builds(
    candidate,
    few,
    few.map(float),
    some.dictionaries(some.sampled_from(["A", "B"]), few.map(float), min_size=1),
)


@given(some.lists(sides, min_size=1, max_size=7))
def test_the_front_is_what_no_other_beats(listed: list[Candidate]) -> None:
    tests = ("A", "B")
    front = [one for one in listed if not any(_beats(two, one, tests) for two in listed)]
    assert front
    for one in listed:
        assert not _beats(one, one, tests)
        beaten_by = [two for two in front if _beats(two, one, tests)]
        assert bool(beaten_by) == (one not in front)
        for two in beaten_by:
            assert two.memory_bytes <= one.memory_bytes
            assert {result.test for result in one.results} <= {each.test for each in two.results}


def test_results_of_two_tests_do_not_compare() -> None:
    one, two = candidate(1, 1.0, {"A": 1.0}), candidate(1, 1.0, {"B": 4.0})
    assert not _beats(two, one, ("A", "B"))
    assert _beats(candidate(1, 1.0, {"A": 2.0}), one, ("A", "B"))


HARD = {
    "memory": Wishes(task="chat", machine=GPU, memory=9 * 10**9),
    "context": Wishes(task="chat", machine=GPU, context=32_768),
    "speed": Wishes(task="chat", machine=GPU, tokens_per_second=100.0),
    "first token": Wishes(task="chat", machine=GPU, first_token=0.2),
    "parameters": Wishes(task="chat", machine=GPU, parameters=4 * 10**9),
    "licence": Wishes(task="chat", machine=GPU, licence="Apache-2.0"),
    "language": Wishes(task="chat", machine=GPU, languages=("German",)),
    "quality": Wishes(task="chat", machine=GPU, quality={"MMLU": 70.0}),
}


def kept(answer: Answer) -> list[Candidate]:
    return [*answer.front, *answer.unproven]


@pytest.mark.parametrize("name", HARD)
def test_what_is_shown_satisfies_every_hard_constraint(name: str) -> None:
    wishes = HARD[name]
    shown = kept(choose(wishes))
    assert shown
    for one in shown:
        assert one.memory_bytes <= (wishes.memory or 24 * 2**30)
        assert wishes.context is None or one.context >= wishes.context
        assert (one.tokens_per_second or 0) >= (wishes.tokens_per_second or 0)
        assert wishes.first_token is None or one.first_token_seconds <= wishes.first_token
        assert one.parameters <= (wishes.parameters or 10**12)
        assert wishes.licence is None or one.licence == wishes.licence
        assert all(language in one.languages for language in wishes.languages)
        assert all(one.result(test).value >= least for test, least in wishes.quality.items())


@pytest.mark.parametrize("name", HARD)
def test_a_hard_constraint_leaves_something_out(name: str) -> None:
    wishes = HARD[name]
    answer = choose(wishes)
    left_out = answer.considered - len(kept(answer)) - answer.beaten
    assert left_out > 0
    assert answer.refused or answer.unknown


RELAXED = [
    (Wishes(task="chat", machine=GPU, memory=400 * 10**6), "--memory"),
    (Wishes(task="chat", machine=GPU, tokens_per_second=1e5), "--speed"),
    (Wishes(task="chat", machine=GPU, first_token=1e-6), "--first-token"),
    (Wishes(task="chat", machine=GPU, parameters=10**6), "--max-params"),
    (Wishes(task="chat", machine=GPU, context=10**8), "--context"),
    (Wishes(task="chat", machine=GPU, quality={"MMLU": 99.0}), "--quality"),
]


@pytest.mark.parametrize(("wishes", "option"), RELAXED, ids=[option for _, option in RELAXED])
def test_no_answer_says_what_to_relax_and_that_is_enough(wishes: Wishes, option: str) -> None:
    answer = choose(wishes)
    assert not kept(answer)
    change = next(one for one in answer.relaxations if one.option == option)
    relaxed = {
        "--memory": lambda needed: replace(wishes, memory=int(needed)),
        "--speed": lambda needed: replace(wishes, tokens_per_second=needed),
        "--first-token": lambda needed: replace(wishes, first_token=needed),
        "--max-params": lambda needed: replace(wishes, parameters=int(needed)),
        "--context": lambda needed: replace(wishes, context=int(needed)),
        "--quality": lambda needed: replace(wishes, quality={"MMLU": needed}),
    }[option](change.needed)
    names = {one.name for one in kept(choose(relaxed))}
    assert names if option == "--context" else change.candidate.name in names


def test_where_no_one_change_is_enough_the_nearest_is_named() -> None:
    wishes = Wishes(task="chat", machine=GPU, memory=400 * 10**6, quality={"MMLU": 99.0})
    answer = choose(wishes)
    assert not answer.relaxations
    assert answer.nearest is not None and len(answer.nearest[1]) == 2


def test_an_answer_says_what_more_memory_would_bring() -> None:
    answer = choose(Wishes(task="chat", machine=GPU))
    change = next(one for one in answer.relaxations if one.option == "--memory")
    best = max(one.result("MMLU").value for one in answer.front if one.result("MMLU"))
    assert change.needed > answer.target.memory
    assert change.candidate.result("MMLU").value > best


def test_sizes_without_results_are_told_apart() -> None:
    answer = choose(Wishes(task="chat", machine=GPU))
    assert all(any(one.result(test) for test in answer.decision.tests) for one in answer.front)
    assert not any(any(one.result(t) for t in answer.decision.tests) for one in answer.unproven)


@pytest.mark.parametrize("name", tasks())
def test_a_task_asked_alone_is_answered_to_the_letter(name: str) -> None:
    task, decision = tasks()[name], decide(Wishes(task=name))
    assert (decision.best, decision.second) == (task.best, task.second)
    assert decision.without == task.without
    assert choose(Wishes(task=name, machine=GPU)).decision == decision


@pytest.mark.parametrize("name", constraints())
def test_a_constraint_asked_alone_is_answered_to_the_letter(name: str) -> None:
    assert decide(Wishes(constraints=(name,))).best == constraints()[name].choices


def test_together_the_constraint_orders_the_answers_of_the_task() -> None:
    decision = decide(Wishes(task="chat", constraints=("privacy",)))
    assert [str(choice) for choice in (*decision.best, *decision.second)] == ["SLM", "LLM"]
    decision = decide(Wishes(task="segmentation", constraints=("full-context",)))
    assert str(decision.best[0]) == "SAM" and "names no class" in decision.notes[-1]


def test_two_constraints_answer_with_what_both_name() -> None:
    decision = decide(Wishes(constraints=("privacy", "limited compute")))
    assert [str(choice) for choice in decision.best] == ["SLM", "MLM"]
    apart = decide(Wishes(constraints=("full-context", "hosted")))
    assert [str(choice) for choice in apart.best] == ["long-context", "SSM", "hybrid", "LLM", "LMM"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "best"),
    [
        (("image", "text"), (), "VLM"),
        (("image",), (), "LVM"),
        (("image",), ("masks",), "SAM"),
        (("text",), ("embeddings",), "embedding"),
        (("text", "image", "audio"), (), "LMM"),
    ],
)
def test_kinds_of_input_and_output_decide(inputs, outputs, best: str) -> None:
    assert str(decide(Wishes(inputs=inputs, outputs=outputs)).best[0]) == best


@pytest.mark.parametrize(
    ("wishes", "complaint"),
    [
        (Wishes(), "say what for"),
        (Wishes(task="chat", outputs=("image",)), "'--task chat' and '--output image' contradict"),
        (Wishes(task="chat", inputs=("audio",)), "'--task chat' and '--input audio' contradict"),
        (Wishes(constraints=("privacy", "frontier")), "'on-device' and 'highest-quality' contr"),
        (Wishes(constraints=("hosted",), memory=1), "hosted' and '--memory' contradict"),
        (Wishes(constraints=("hosted",), machine=GPU), "hosted' and '--machine' contradict"),
        (Wishes(constraints=("privacy",), price=1.0), "on-device' and '--price' contradict"),
        (Wishes(outputs=("smell",)), "no task gives smell"),
    ],
)
def test_contradictions_name_the_pair(wishes: Wishes, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        choose(wishes)


@pytest.mark.parametrize(
    ("wishes", "complaint"),
    [
        (Wishes(task="chatt"), "Did you mean"),
        (Wishes(constraints=("real-tim",)), "Did you mean"),
        (Wishes(task="chat", machine="RTX 4091"), "no hardware is known"),
        (Wishes(task="chat", licence="apache-3"), "There is no licence 'apache-3'"),
    ],
)
def test_unknown_names_are_refused(wishes: Wishes, complaint: str) -> None:
    with pytest.raises(NotFoundError, match=complaint):
        choose(wishes)


@pytest.mark.parametrize(
    ("task", "does", "does_not"),
    [
        ("translation", "llama-3.1", "whisper"),
        ("chat", "llama-3.1", "qwen2-audio"),
        ("image-generation", "stable-diffusion", "shap-e"),
    ],
)
def test_models_take_and_give_what_the_task_does(task: str, does: str, does_not: str) -> None:
    answer = choose(Wishes(task=task, machine=GPU))
    named = {one.model for one in kept(answer)}
    assert does in named and does_not not in named
    for name in named:
        outputs = set(models()[name].words("outputs"))
        assert KINDS & set(tasks()[task].outputs) <= outputs


def test_a_size_that_takes_less_than_its_card_is_left_out() -> None:
    """Of Gemma 3 the smallest has no eyes."""
    seen = {task: choose(Wishes(task=task, machine=GPU)) for task in ("chat", "image-captioning")}
    sizes = {
        task: {one.variant for one in kept(answer) if one.model == "gemma-3"}
        for task, answer in seen.items()
    }
    assert "1B" in sizes["chat"] and sizes["image-captioning"] == sizes["chat"] - {"1B"}


def test_what_is_not_text_alone_is_weighed_by_what_its_configuration_counts() -> None:
    answer = choose(Wishes(task="transcription", machine=GPU))
    (tiny,) = [one for one in kept(answer) if (one.model, one.variant) == ("whisper", "tiny")]
    assert tiny.predicted is None and tiny.tokens_per_second is None
    assert tiny.memory_bytes == 37_760_640 * 2  # transformers counts as many parameters


def test_no_model_is_an_answer() -> None:
    decision = decide(Wishes(task="regex"))
    assert decision.best[0].model_class == "none" and "regular expression" in decision.without


def test_choosing_loads_no_torch() -> None:
    program = (
        "import sys; from fathom.planning.choosing import choose; "
        "from fathom.planning.deciding import Wishes; "
        f"answer = choose(Wishes(task='chat', machine={GPU!r})); "
        "print(len(answer.front) > 3, sorted({'torch', 'transformers', 'numpy', 'genai_prices'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "True []"
