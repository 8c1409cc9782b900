"""Whether models fit: what others publicly missed, every dialect by its configuration, refusals."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.checkpoint.description import Description, describe
from fathom.dialects.dialect import FAMILIES, find
from fathom.errors import NotFoundError, RequestError
from fathom.planning import fit as fitting
from fathom.planning.costs import BYTES, state_bytes
from fathom.planning.fit import fit
from fathom.planning.landscape_table import landscape_table
from fathom.planning.storing import MIXES, bits_per_weight, known_names
from fathom.planning.training import training_terms
from fathom.spec.parts import active, count, parameters
from planning.test_probe import RATES

ROOT = Path(__file__).parents[2]
PUBLISHED = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
MODELS = tomllib.loads((ROOT / "benchmarks" / "models.toml").read_text(encoding="utf-8"))


def described(folder: Path, config: Mapping[str, object]) -> Description:
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return describe(file)


@pytest.fixture
def llama(tmp_path: Path) -> Description:
    return described(tmp_path, PUBLISHED["llama-3-8b"]["config"])


@pytest.fixture
def mixtral(tmp_path: Path) -> Description:
    return described(tmp_path, PUBLISHED["mixtral-8x7b"]["config"])


def _reads_text(name: str) -> bool:
    """Whether a dialect's reader gives one of the architectures of text."""
    given = inspect.signature(find(name).read).return_annotation
    return str(given) in {"Decoder", "Encoder", "EncoderDecoder"}


OF_TEXT = [name for name in FAMILIES if _reads_text(name)]


def test_the_benchmark_has_a_model_of_every_dialect_of_text() -> None:
    assert set(MODELS) == set(OF_TEXT)


@pytest.mark.parametrize("name", OF_TEXT)
def test_every_dialect_is_fitted_from_its_configuration_alone(name: str, tmp_path: Path) -> None:
    found = described(tmp_path, {"model_type": name, **MODELS[name]})
    assert count(found.spec) >= 50_000_000
    answer = fit(found, on="H100 SXM", context=512, batch=2)
    assert answer.fits
    terms = answer.prediction.terms
    assert terms["weights"] == sum(
        one.elements * (4 if str(one.role) in ("norm", "router", "state space") else 2)
        for one in parameters(found.spec)
    )
    assert terms["workspace"] > 0
    assert sum(terms.values()) == answer.prediction.total_bytes
    assert set(terms) <= set(answer.reasons)
    assert answer.prediction.prefill_tokens_per_second


@pytest.mark.parametrize("machine", ["rtx4090", "this"])
def test_no_torch_is_needed(machine: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED["llama-3-8b"]["config"]))
    code = (
        "import sys; from fathom.cli.main import main;"
        f" code = main(['fit', {str(tmp_path)!r}, '--on', {machine!r}, '--json']);"
        " sys.exit(code or bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prediction"]["context"] == 8192


def test_no_dialect_of_text_needs_torch(tmp_path: Path) -> None:
    """In one process that looks after each of them."""
    for name in OF_TEXT:
        (tmp_path / f"{name}.json").write_text(json.dumps({"model_type": name, **MODELS[name]}))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from fathom.checkpoint.description import describe\n"
        "from fathom.planning.fit import fit\n"
        f"for file in sorted(Path({str(tmp_path)!r}).glob('*.json')):\n"
        "    fit(describe(file), on='rtx4090', context=512)\n"
        "    if 'torch' in sys.modules: sys.exit(file.stem)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What other estimators said of configurations like these, and what is so: `config alone decides`.


def test_a_llama_cache_has_its_grouped_heads(llama: Description) -> None:
    """At 100,000 tokens 13.1 GB, not the 52 GB of as many key heads as query heads."""
    assert round(state_bytes(llama.spec, "bfloat16", 100_000) / 1e9, 1) == 13.1


def test_a_llama_cache_counts_every_layer_and_both_keys_and_values(llama: Description) -> None:
    """LocalAI's rule, bytes × width × kv_heads × context, gives half: 2 GiB at 32k."""
    assert state_bytes(llama.spec, "bfloat16", 32_768) == 4 * 2**30


def test_a_large_llama_cache(tmp_path: Path) -> None:
    """The same rule gives 4 GiB for 70B at 32k; it is 10 GiB."""
    spec = described(tmp_path, PUBLISHED["llama-3-70b"]["config"]).spec
    assert state_bytes(spec, "bfloat16", 32_768) == 10 * 2**30


def test_a_mixture_holds_all_of_its_experts(mixtral: Description) -> None:
    """46.7 B and 12.9 B active, not 56 and 14; memory is of all, not of the active ones."""
    assert round(count(mixtral.spec) / 1e9, 1) == 46.7
    assert round(active(mixtral.spec) / 1e9, 1) == 12.9
    answer = fit(mixtral, on="H100 SXM", context=4096)
    assert not answer.fits
    assert answer.prediction.terms["weights"] > 2 * 46.7e9


def test_latents_are_kept_once(tmp_path: Path) -> None:
    """DeepSeek-V3 at 32k: 2.30 GB, where 128 key heads would make it 57.3 GB."""
    config = {
        **MODELS["deepseek_v3"],
        "model_type": "deepseek_v3",
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "max_position_embeddings": 163_840,
    }
    spec = described(tmp_path, config).spec
    assert round(state_bytes(spec, "bfloat16", 32_768) / 1e9, 2) == 2.30


def test_windows_keep_no_more_than_they_see(tmp_path: Path) -> None:
    """Gemma 2 2B: half of its 26 layers keep 4,096 tokens, however long the text is."""
    spec = described(tmp_path, PUBLISHED["gemma-2-2b"]["config"]).spec
    short, long = (state_bytes(spec, "bfloat16", tokens) for tokens in (4096, 8192))
    assert long == pytest.approx(1.5 * short, rel=1e-9)


def test_encoders_keep_nothing_and_cost_what_they_are(tmp_path: Path) -> None:
    """A reranker said to need 13.8 GiB needed 926 MiB: an encoder has no cache."""
    found = described(tmp_path, PUBLISHED["bert-base-uncased"]["config"])
    terms = fit(found, on="H100 SXM", context=512, dtype="float16").prediction.terms
    assert terms["state"] == 0
    assert terms["weights"] + terms["workspace"] < 300e6


DEEPSEEK = {
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "intermediate_size": 18_432,
    "moe_intermediate_size": 2048,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "n_group": 8,
    "topk_group": 4,
    "vocab_size": 129_280,
    "max_position_embeddings": 163_840,
    "num_nextn_predict_layers": 0,
}
LITE = {
    "num_hidden_layers": 27,
    "hidden_size": 2048,
    "intermediate_size": 10_944,
    "moe_intermediate_size": 1408,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "q_lora_rank": None,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 102_400,
    "max_position_embeddings": 163_840,
}
GEMMA = {
    "num_hidden_layers": 62,
    "hidden_size": 5376,
    "intermediate_size": 21_504,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "sliding_window": 1024,
    "sliding_window_pattern": 6,
    "vocab_size": 262_208,
    "max_position_embeddings": 131_072,
}
QWEN = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 151_936,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": False,
}
RERANKER = {
    "num_hidden_layers": 28,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_669,
    "max_position_embeddings": 40_960,
    "tie_word_embeddings": True,
}


# Thread, dialect, configuration, what is asked, and between which gigabytes each term must lie.
MISSED = {
    "llmfit 497: DeepSeek-V3 in 22 GB, of its active experts": (
        "deepseek_v3",
        DEEPSEEK,
        {"quant": "Q4_K_M", "context": 8192},
        {"weights": (370, 420)},
    ),
    "ollama 17201: DeepSeek-V2-Lite without a buffer to compute in": (
        "deepseek_v2",
        LITE,
        {"context": 32_768},
        {"workspace": (0.5, 6), "weights": (31, 32)},
    ),
    "gpustack 2101: Gemma 3 27B with all layers global, 139 GB": (
        "gemma3_text",
        GEMMA,
        {"context": 85_000, "quant": "Q8_0"},
        {"state": (6, 9), "weights": (27, 30)},
    ),
    "Xinference: Qwen1.5 7B in 4 bits at 16k, 17 GB active": (
        "qwen2",
        QWEN,
        {"context": 16_384, "quant": "Q4_0"},
        {"state": (8.5, 8.7), "weights": (4, 5), "workspace": (0, 1)},
    ),
    "gpustack 2462: Qwen3 Reranker 0.6B, 21.85 GB set aside": (
        "qwen3",
        RERANKER,
        {"context": 8192},
        {"weights": (1.1, 1.3), "state": (0.9, 1), "workspace": (0, 0.2)},
    ),
}


@pytest.mark.parametrize("case", MISSED)
def test_what_others_missed_lies_where_it_was_measured(case: str, tmp_path: Path) -> None:
    name, config, wanted, expected = MISSED[case]
    found = described(tmp_path, {**MODELS[name], "model_type": name, **config})
    terms = fit(found, on="H100 SXM", dtype="bfloat16", **wanted).prediction.terms
    for term, (least, most) in expected.items():
        assert least < terms[term] / 1e9 < most, term


def test_nobody_is_given_a_context_that_was_not_asked_for(tmp_path: Path) -> None:
    """llmfit 302: 26.3 GB, for 262,144 tokens that a reader of 8 GB never wanted."""
    found = described(
        tmp_path, {"model_type": "qwen3", **RERANKER, "max_position_embeddings": 262_144}
    )
    assert fit(found, on="H100 SXM").prediction.context == fitting.USUAL_CONTEXT


def test_the_landscapes_table_is_printed_as_it_stands_there() -> None:
    lines = {line.size: (line.fp16, line.four_bit) for line in landscape_table()}
    assert lines == {
        "1B": ("~2GB", "~0.5GB"),
        "7B": ("~14GB", "~4GB"),
        "13B": ("~26GB", "~7GB"),
        "70B": ("~140GB", "~35GB"),
        "405B": ("~810GB", "~200GB"),
    }


def test_no_published_four_bit_format_takes_half_a_byte() -> None:
    for line in landscape_table():
        half = line.formats["F16"] / 4
        assert all(line.formats[name] > half for name in ("Q4_K", "Q4_0", "MXFP4"))


@pytest.mark.parametrize("name", MIXES)
def test_mixes_lie_between_their_encodings(name: str, llama: Description) -> None:
    mix = MIXES[name]
    low, high = (bits_per_weight(llama.spec, one) for one in (mix.most, mix.finer))
    assert low <= bits_per_weight(llama.spec, name) <= high


def test_q4_k_m_takes_what_its_files_take(llama: Description) -> None:
    """Published files of Llama 3 8B in Q4_K_M have 4.92 GB, in Q5_K_M 5.73 GB."""
    for name, size in (("Q4_K_M", 4.92e9), ("Q5_K_M", 5.73e9)):
        bits = bits_per_weight(llama.spec, name)
        assert bits * count(llama.spec) / 8 == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("name", known_names())
def test_every_encoding_can_be_asked_for(name: str, llama: Description) -> None:
    assert 1 < bits_per_weight(llama.spec, name) <= 64


# Verdicts and what would fit instead.


def test_what_does_not_fit_comes_with_what_does(mixtral: Description) -> None:
    answer = fit(mixtral, on="RTX 5090", context=32_768)
    assert "does not fit" in answer.verdict
    assert answer.remedies
    assert all(one.total_bytes <= answer.memory_bytes for one in answer.remedies)
    assert any("Q4" in one.change for one in answer.remedies)


def test_layers_kept_elsewhere_cost_seconds_per_token(mixtral: Description) -> None:
    """What is over is fetched for each token: its bytes by the bandwidth of the link."""
    answer = fit(mixtral, on="RTX 5090", context=4096)
    remedy = answer.remedies[-1]
    assert "layers kept in host memory" in remedy.change
    layers = int(remedy.change.split()[0])
    seconds = float(remedy.cost.split()[0])
    whole = answer.prediction.terms["weights"]
    assert layers * fitting.HOST_LINK * seconds > 0
    assert -answer.spare_bytes <= 1.05 * seconds * fitting.HOST_LINK <= 1.1 * whole


def test_a_disk_that_was_measured_says_what_it_costs(
    llama: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(fitting.this_machine(), memory_limit=10 * 10**9, memory_available=10 * 10**9)
    monkeypatch.setattr(fitting, "this_machine", lambda: machine)
    for disk, said in ((2e9, "GB at 2 GB/s from the disk"), (None, "has not been measured")):
        monkeypatch.setattr(
            "fathom.planning.target.cached_rates", lambda disk=disk: replace(RATES, disk_read=disk)
        )
        assert said in fit(llama, context=512).remedies[-1].cost


def test_a_packed_model_fits_where_the_whole_does_not(llama: Description) -> None:
    assert not fit(llama, on="rtx3060", context=2048).fits
    assert fit(llama, on="rtx3060", context=2048, quant="Q4_K_M").fits


def test_the_limit_of_a_control_group_counts(
    llama: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = fitting.this_machine()
    small = type(machine)(
        **{
            **{name: getattr(machine, name) for name in machine.__slots__},
            "memory_limit": 2 * 10**9,
            "memory_available": 2 * 10**9,
        }
    )
    monkeypatch.setattr(fitting, "this_machine", lambda: small)
    answer = fit(llama)
    assert answer.memory_bytes == 2 * 10**9
    assert not answer.fits


def test_training_needs_more_than_running(llama: Description) -> None:
    running = fit(llama, on="H100 SXM", context=512).prediction.total_bytes
    lora, full = (
        fit(llama, on="H100 SXM", context=512, train=manner).prediction
        for manner in ("lora", "full")
    )
    assert running < lora.total_bytes < full.total_bytes
    assert full.terms["gradients"] == 2 * count(llama.spec)
    assert full.terms["optimiser"] == 12 * count(llama.spec)  # two moments and a master copy
    assert training_terms(llama.spec, "full", "float32", 1)["optimiser"] == 8 * count(llama.spec)


def test_speed_grows_with_the_batch_and_falls_with_the_context(llama: Description) -> None:
    def rate(**wanted: int) -> float:
        found = fit(llama, on="H100 SXM", **wanted).prediction.decode_tokens_per_second
        assert found is not None
        return found

    assert rate(context=512, batch=8) > 6 * rate(context=512)
    assert rate(context=8192) < rate(context=512)


# Bad input, each with a good twin above.


def test_unknown_hardware_names_the_nearest(llama: Description) -> None:
    with pytest.raises(NotFoundError, match="RTX 4090"):
        fit(llama, on="rtx 4o90")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"context": 8193}, "8,192"),
        ({"context": 0}, "1 to"),
        ({"context": -5}, "1 to"),
        ({"batch": 0}, "at least 1"),
        ({"batch": -1}, "at least 1"),
        ({"dtype": "float99"}, ", ".join(BYTES)),
        ({"quant": "Q4_K_L"}, "Q4_K_M"),
        ({"quant": "I64"}, "Known are"),
    ],
)
def test_what_makes_no_sense_is_refused(
    wanted: dict[str, object], said: str, llama: Description
) -> None:
    with pytest.raises(RequestError, match=said):
        fit(llama, on="H100 SXM", **wanted)  # type: ignore[arg-type]
