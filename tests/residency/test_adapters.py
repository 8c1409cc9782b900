"""Adapters that peft makes and saves, on bases that transformers saves: ours equal theirs.

Every factor, magnitude and module that an adapter saves is random, so that one left out shows.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import tokenizers
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from fathom import library
from fathom.errors import ModelFileError, NotFoundError, RequestError, TensorMismatchError
from fathom.library import TextModel
from parity.case import randomise
from parity.gguf_files import write_gguf

SMALL: Mapping[str, object] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GPT2: Mapping[str, object] = {
    "vocab_size": 96,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Bases by name: how the publisher stores a projection differs from one to the next.
BASES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "llama": ("llama", {**SMALL, "attention_bias": True, "mlp_bias": True}),
    "tied": ("llama", {**SMALL, "tie_word_embeddings": True}),
    "gemma": ("gemma", {**SMALL, "head_dim": 8, "num_key_value_heads": 1}),
    "phi3": ("phi3", SMALL),  # query, key and value in one; gate and up in one
    "neox": ("gpt_neox", {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}),
    "gpt2": ("gpt2", GPT2),  # inputs first, and fused
    "mixtral": ("mixtral", {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2}),
}


@dataclass(frozen=True)
class Adapted:
    """One adapter: a base, and peft's options for it."""

    label: str
    base: str
    options: Mapping[str, object] = field(default_factory=dict)
    theirs_merges: bool = True  # peft's own merging leaves the answers as they were

    @property
    def id(self) -> str:
        return f"{self.base}-{self.label}"


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
CASES = [
    Adapted("all-linear", "llama", {"target_modules": "all-linear"}),
    Adapted("rslora", "llama", {"target_modules": ATTENTION, "use_rslora": True}),
    Adapted("dora", "llama", {"target_modules": [*ATTENTION, "up_proj"], "use_dora": True}),
    Adapted(
        "patterns",
        "llama",
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"q_proj": 2, r"^model\.layers\.1\.self_attn\.v_proj": 7},
            "alpha_pattern": {"layers.0.self_attn.k_proj": 3, "o_proj": 40},
        },
    ),
    Adapted("bias-all", "llama", {"target_modules": ["q_proj"], "bias": "all"}),
    Adapted("bias-adapted", "llama", {"target_modules": ["q_proj"], "bias": "lora_only"}),
    Adapted("some-layers", "llama", {"target_modules": ["down_proj"], "layers_to_transform": [1]}),
    Adapted("expression", "llama", {"target_modules": r".*\.(q_proj|down_proj)"}),
    Adapted(
        "whole-modules",
        "llama",
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens", "norm"]},
    ),
    Adapted("ends", "llama", {"target_modules": ["embed_tokens", "lm_head", "v_proj"]}),
    Adapted("ends-dora", "llama", {"target_modules": ["embed_tokens"], "use_dora": True}),
    # peft merges into the one tensor that both ends read, and so changes the other end as well.
    Adapted("table", "tied", {"target_modules": ["embed_tokens"]}, theirs_merges=False),
    Adapted("head", "tied", {"target_modules": ["lm_head"]}, theirs_merges=False),
    Adapted(
        "saved-table", "tied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}
    ),
    Adapted("saved-head", "tied", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    Adapted("norms", "gemma", {"target_modules": ["q_proj"], "modules_to_save": ["norm"]}),
    Adapted("table", "gemma", {"target_modules": ["embed_tokens"]}, theirs_merges=False),
    Adapted("fused", "phi3", {"target_modules": ["qkv_proj", "gate_up_proj", "o_proj"]}),
    Adapted("fused-dora", "phi3", {"target_modules": ["qkv_proj"], "use_dora": True}),
    Adapted("heads-together", "neox", {"target_modules": ["query_key_value", "dense"]}),
    Adapted(
        "heads-together-dora", "neox", {"target_modules": ["query_key_value"], "use_dora": True}
    ),
    Adapted(
        "inputs-first", "gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}
    ),
    Adapted(
        "inputs-first-dora",
        "gpt2",
        {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "use_dora": True},
    ),
    Adapted("attention", "mixtral", {"target_modules": ATTENTION}),
]


@dataclass(frozen=True)
class Saved:
    """The folders that peft and transformers wrote, and the logits of their model."""

    base: Path
    adapter: Path
    logits: Tensor


TOKENS = torch.randint(3, 96, (2, 12), generator=torch.Generator().manual_seed(5))


def save_adapter(case: Adapted, folder: Path) -> Saved:
    """Make a random base and a random adapter on it, and save both."""
    model_type, options = BASES[case.base]
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(model_type, **options), attn_implementation="eager"
    )
    randomise(base)
    base.eval().save_pretrained(folder / "base")
    base.config._name_or_path = str(folder / "base")
    base.name_or_path = str(folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tied ends, which is what is tested
        adapted = get_peft_model(base, LoraConfig(**{"r": 4, "lora_alpha": 6, **case.options}))
        generator = torch.Generator().manual_seed(11)
        for name, tensor in adapted.named_parameters():
            if tensor.requires_grad:
                noise = torch.randn(tensor.shape, generator=generator)
                grown = name.endswith("magnitude_vector.default.weight")
                tensor.data = tensor * (1 + 0.3 * noise) if grown else tensor + 0.2 * noise
        adapted.eval().save_pretrained(folder / "adapter")
        # What counts is what peft makes of its own files on the base as it was saved.
        fresh = AutoModelForCausalLM.from_pretrained(folder / "base", attn_implementation="eager")
        theirs = PeftModel.from_pretrained(fresh, folder / "adapter").eval()
        with torch.inference_mode():
            logits = theirs(input_ids=TOKENS).logits
            if case.theirs_merges:
                merged = theirs.merge_and_unload()(input_ids=TOKENS).logits
                assert relative_error(merged, logits) < 1e-4
    return Saved(folder / "base", folder / "adapter", logits)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Adapted], Saved]:
    @cache
    def made(id: str) -> Saved:
        case = next(case for case in CASES if case.id == id)
        return save_adapter(case, tmp_path_factory.mktemp(case.id))

    return lambda case: made(case.id)


def opened(found: Saved) -> TextModel:
    return library.open(str(found.base), adapter=str(found.adapter), dtype="float32", device="cpu")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_logits_equal_peft_merged_or_not(case: Adapted, saved: Callable[[Adapted], Saved]) -> None:
    found = saved(case)
    bare = library.open(str(found.base), dtype="float32", device="cpu")
    assert relative_error(bare.logits(TOKENS), found.logits) > 1e-2  # the adapter matters
    model = opened(found)
    assert not [note for note in model.card.notes if "merged" in note]  # factors are carried
    assert relative_error(model.logits(TOKENS), found.logits) < 1e-4
    model.merge_adapter()
    assert relative_error(model.logits(TOKENS), found.logits) < 1e-4


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_merged_model_is_one_that_its_publishers_tools_open(
    case: Adapted, saved: Callable[[Adapted], Saved], tmp_path: Path
) -> None:
    found = saved(case)
    model = opened(found)
    with pytest.raises(RequestError, match="merge_adapter"):
        model.save(tmp_path / "too-early")
    model.merge_adapter()
    model.save(tmp_path / "merged")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    with torch.inference_mode():
        assert relative_error(theirs(input_ids=TOKENS).logits, found.logits) < 1e-4
    again = library.open(str(tmp_path / "merged"), dtype="float32", device="cpu")
    assert relative_error(again.logits(TOKENS), found.logits) < 1e-4


@pytest.fixture
def plain(saved: Callable[[Adapted], Saved], tmp_path: Path) -> Saved:
    """A copy of the first case's folders, to be changed at will."""
    found = saved(CASES[0])
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(found.base, base)
    shutil.copytree(found.adapter, adapter)
    configure(adapter, base_model_name_or_path=str(base))
    return Saved(base, adapter, found.logits)


def configure(adapter: Path, **changed: object) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def rewrite(adapter: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Save the adapter's tensors again after `change` has been at them."""
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def renamed(adapter: Path, rename: Callable[[str], str]) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        spelled = {rename(name): tensor for name, tensor in tensors.items()}
        tensors.clear()
        tensors.update(spelled)

    rewrite(adapter, change)


def test_an_adapter_that_is_opened_by_its_own_name_finds_its_base(
    plain: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = library.open(str(plain.adapter), dtype="float32", device="cpu")
    assert relative_error(model.logits(TOKENS), plain.logits) < 1e-4
    assert model.card.name == str(plain.adapter)
    monkeypatch.chdir(plain.base.parent)
    configure(plain.adapter, base_model_name_or_path="./base")
    model = library.open("adapter", dtype="float32", device="cpu")
    assert relative_error(model.logits(TOKENS), plain.logits) < 1e-4
    assert library.describe("adapter").notes == model.card.notes


@pytest.mark.parametrize(
    "base", [None, "nobody/has-this", "../elsewhere", "pypi:not-here/at/all", "C:\\models\\x"]
)
def test_a_base_that_is_not_here_is_never_fetched(
    plain: Saved, base: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("an adapter's word led to the network")

    monkeypatch.setattr("fathom.checkpoint.sources.hub.fetch", fetched)
    monkeypatch.setattr("fathom.checkpoint.sources.packages.fetch", fetched)
    configure(plain.adapter, base_model_name_or_path=base)
    with pytest.raises(NotFoundError, match="open its base yourself"):
        library.open(str(plain.adapter))
    assert opened(plain).adapter is not None  # and that works


def test_an_adapter_is_no_base(plain: Saved) -> None:
    with pytest.raises(RequestError, match="name the base"):
        library.open(str(plain.adapter), adapter=str(plain.adapter))
    configure(plain.adapter, base_model_name_or_path=str(plain.adapter))
    with pytest.raises(NotFoundError, match="an adapter itself"):
        library.open(str(plain.adapter))


def test_an_adapter_that_nobody_asked_for_stays_off(plain: Saved) -> None:
    before = library.open(str(plain.base), dtype="float32", device="cpu").logits(TOKENS)
    for file in plain.adapter.glob("adapter_*"):
        shutil.copy(file, plain.base)
    model = library.open(str(plain.base), dtype="float32", device="cpu")
    assert torch.equal(model.logits(TOKENS), before)
    assert any("is not on" in note for note in model.card.notes)


def test_the_card_and_the_forecast_tell_of_an_adapter(plain: Saved) -> None:
    bare, model = library.open(str(plain.base), dtype="float32", device="cpu"), opened(plain)
    held = sum(
        t.numel() * 4 for t in load_file(plain.adapter / "adapter_model.safetensors").values()
    )
    assert model.fit().terms["adapter"] == held
    assert model.fit().total_bytes == bare.fit().total_bytes + held
    assert any("rank 4" in note for note in model.card.notes)
    model.merge_adapter()
    assert model.fit().terms == bare.fit().terms
    with pytest.raises(RequestError, match="no adapter"):
        model.merge_adapter()
    with pytest.raises(RequestError, match="no adapter"):
        bare.merge_adapter()


def test_bfloat16_stays_within_its_own_error(plain: Saved) -> None:
    base, adapter = str(plain.base), str(plain.adapter)
    bare = library.open(base, dtype="bfloat16", device="cpu").logits(TOKENS)
    exact = library.open(base, dtype="float32", device="cpu").logits(TOKENS)
    own = relative_error(bare, exact)
    model = library.open(base, adapter=adapter, dtype="bfloat16", device="cpu")
    assert relative_error(model.logits(TOKENS), plain.logits) < 3 * own
    model.merge_adapter()
    assert relative_error(model.logits(TOKENS), plain.logits) < 3 * own


def test_a_base_in_gguf_takes_the_publishers_adapter(
    saved: Callable[[Adapted], Saved], tmp_path: Path
) -> None:
    """GGUF turns query and key about; the adapter does not know."""
    found = saved(next(case for case in CASES if case.id == "tied-saved-head"))
    bare = library.open(str(found.base), dtype="float32", device="cpu")
    config = json.loads((found.base / "config.json").read_text())
    write_gguf(bare, config, tmp_path / "base.gguf")
    model = library.open(
        str(tmp_path / "base.gguf"), adapter=str(found.adapter), dtype="float32", device="cpu"
    )
    assert relative_error(model.logits(TOKENS), found.logits) < 1e-4


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("lora_A.", "lora_A.default.").replace("_B.", "_B.default."),
        lambda name: name.removeprefix("base_model.model."),
        lambda name: name.replace("base_model.model.model.", "base_model.model."),  # a bare trunk
    ],
)
def test_other_spellings_of_the_same_adapter(plain: Saved, rename: Callable[[str], str]) -> None:
    renamed(plain.adapter, rename)
    configure(plain.adapter, target_modules="all-linear")
    assert relative_error(opened(plain).logits(TOKENS), plain.logits) < 1e-4


def test_experts_that_lie_apart_in_the_file_are_folded_together(
    saved: Callable[[Adapted], Saved], tmp_path: Path
) -> None:
    """An adapter of single experts, against a base to which its products were added by hand."""
    found = saved(next(case for case in CASES if case.base == "mixtral"))
    shutil.copytree(found.base, tmp_path / "added")
    file = tmp_path / "added" / "model.safetensors"
    weights = load_file(file)
    generator = torch.Generator().manual_seed(2)
    factors = {}
    for module in ("experts.2.w1", "experts.0.w2", "gate"):
        name = f"model.layers.1.block_sparse_moe.{module}"
        outputs, inputs = weights[f"{name}.weight"].shape
        down = torch.randn(3, inputs, generator=generator) / inputs**0.5
        up = torch.randn(outputs, 3, generator=generator)
        factors[f"base_model.model.{name}.lora_A.weight"] = down
        factors[f"base_model.model.{name}.lora_B.weight"] = up
        weights[f"{name}.weight"] += 2.0 * up @ down
    save_file(weights, file, {"format": "pt"})
    adapter = tmp_path / "adapter"
    shutil.copytree(found.adapter, adapter)
    save_file(factors, adapter / "adapter_model.safetensors")
    configure(adapter, r=3, lora_alpha=6, target_modules=["w1", "w2", "gate"])
    configure(adapter, layers_to_transform=[1])
    expected = library.open(str(tmp_path / "added"), dtype="float32", device="cpu").logits(TOKENS)
    model = library.open(str(found.base), adapter=str(adapter), dtype="float32", device="cpu")
    assert relative_error(model.logits(TOKENS), expected) < 1e-4
    assert any("2 weights are merged" in note for note in model.card.notes)
    model.merge_adapter()  # the router
    assert relative_error(model.logits(TOKENS), expected) < 1e-4


KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
MISFITS: Mapping[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "left over": (
        lambda t: t.update(
            {
                KEY.replace("layers.0", "layers.7") + x: t[f"{KEY}{x}"].clone()
                for x in ("A.weight", "B.weight")
            }
        ),
        "1 of its tensors have no place in the model: model.layers.7.self_attn.q_proj.weight",
    ),
    "missing": (
        lambda t: [t.pop(f"{KEY}{x}.weight") for x in "AB"],
        "1 of its targets have no tensors: model.layers.0.self_attn.q_proj.weight",
    ),
    "outputs": (
        lambda t: t.update({f"{KEY}B.weight": torch.zeros(31, 4)}),
        r"'model.layers.0.self_attn.q_proj.weight' is \[32, 32\], the adapter's \[31, 32\]",
    ),
    "inputs": (
        lambda t: t.update({f"{KEY}A.weight": torch.zeros(4, 8)}),
        r"is \[32, 32\], the adapter's \[32, 8\]",
    ),
    "a tensor of its own": (
        lambda t: t.update({"base_model.model.score.weight": torch.zeros(2, 32)}),
        "no place in the model: score.weight",
    ),
    "a whole tensor of another shape": (
        lambda t: t.update({"base_model.model.lm_head.weight": torch.zeros(97, 32)}),
        r"'lm_head.weight' is \[96, 32\], the adapter's \[97, 32\]",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_refused_with_both_sides(plain: Saved, misfit: str) -> None:
    change, complaint = MISFITS[misfit]
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    configure(plain.adapter, target_modules=names)
    assert opened(plain).adapter is not None
    rewrite(plain.adapter, change)
    with pytest.raises(TensorMismatchError, match=complaint) as error:
        opened(plain)
    assert "Open the base that it was trained on" in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(plain: Saved, value: float) -> None:
    rewrite(plain.adapter, lambda tensors: tensors[f"{KEY}A.weight"].fill_(value))
    with pytest.raises(ModelFileError, match="E_NONFINITE"):
        opened(plain)


def test_an_adapter_answers_and_its_tokenizer_goes_first(plain: Saved) -> None:
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({f"w{i}": i for i in range(96)}, unk_token="w0")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(plain.adapter / "tokenizer.json"))
    model = opened(plain)
    answer = list(model.generate("w5 w6 w7", max_tokens=4))
    assert len(answer) > 0
    model.merge_adapter()
    assert list(model.generate("w5 w6 w7", max_tokens=4)) == answer
    model.save(plain.base.parent / "merged")
    again = library.open(str(plain.base.parent / "merged"), dtype="float32", device="cpu")
    assert list(again.generate("w5 w6 w7", max_tokens=4)) == answer
