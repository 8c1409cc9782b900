"""Pages about published configurations, and about every variant that the parity cases state."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from fathom.checkpoint.description import Description, describe
from fathom.checkpoint.naming import spell
from fathom.cli.output import plain
from fathom.errors import RequestError
from fathom.planning import running_code
from fathom.planning.explanation import Explanation, explain
from fathom.planning.machine import this_machine
from fathom.planning.programs import why_modules
from fathom.spec.model import TextModel
from fathom.spec.parts import Part, active, children, count, parameters
from parity.conftest import TABLES, cases_of

PUBLISHED = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
LLAMA: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "float16",
}


def described(folder: Path, config: Mapping[str, object]) -> Description:
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return describe(file)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_parameters_that_are_published(name: str, tmp_path: Path) -> None:
    entry = PUBLISHED[name]
    found = explain(described(tmp_path, entry["config"]))
    assert found.cost.parameters == entry["total"]
    assert found.cost.active == entry.get("active", found.cost.active)
    assert found.model_class == entry["class"]


def test_mixtral_is_as_its_paper_says(tmp_path: Path) -> None:
    found = explain(described(tmp_path, PUBLISHED["mixtral-8x7b"]["config"]), context=4096)
    assert f"{found.cost.parameters / 1e9:.2f} B total" == "46.70 B total"
    assert f"{found.cost.active / 1e9:.2f} B active" == "12.88 B active"
    layers = next(section for section in found.sections if section.kinds)
    assert layers.words == "0-31, all alike"
    keys_and_values = 2 * 8 * 128 * 2  # two of eight heads of 128, in bfloat16
    assert layers.cost.state_bytes == 32 * 4096 * keys_and_values
    assert layers.cost.state_bytes_per_token == 32 * keys_and_values


def reference_configs() -> dict[str, Mapping[str, object]]:
    """Return the configuration of every parity case of a text that transformers can write down.

    Models that work in stages have pages of their own: `test_staged.py`.
    """
    from transformers import AutoConfig

    found: dict[str, Mapping[str, object]] = {}
    tables = (TABLES[argument] for argument in ("case", "encoder_case", "seq2seq_case"))
    for case in (case for table in tables for case in cases_of(table)):
        if getattr(case, "build", None) is None:
            written = AutoConfig.for_model(case.model_type, **case.config).to_dict()
            known = getattr(case, "architecture", None)
            found[case.id] = written | ({"architectures": [known]} if known else {})
    return found


def consistent(found: Explanation, spec: TextModel) -> None:
    """Check that a page says as much as its spec, and no more."""
    assert (found.cost.parameters, found.cost.active) == (count(spec), active(spec))
    assert sum(role.parameters for role in found.roles) == count(spec)
    assert sum(role.active for role in found.roles) == active(spec)
    for section in found.sections:
        assert section.words
        for kind in section.kinds:
            assert sum(row.cost.parameters for row in kind.rows) == kind.cost.parameters
            assert all(row.words for row in kind.rows)
    stacks = [[layer for kind in s.kinds for layer in kind.layers] for s in found.sections]
    assert all(sorted(stack) == list(range(len(stack))) for stack in stacks)
    assert json.dumps(plain(vars(found)))


def test_every_variant_of_every_dialect_is_explained(tmp_path: Path) -> None:
    """Its parts add up, none is mute, and the publisher's names are told for what is shown."""
    for name, config in reference_configs().items():
        description = described(tmp_path, config)
        found = explain(description, names=True)
        consistent(found, description.spec)
        assert {named.ours for named in found.names} <= {
            one.name for one in parameters(description.spec)
        }, name


def test_names_of_the_first_layer_stand_for_all_alike(tmp_path: Path) -> None:
    description = described(tmp_path, LLAMA)
    named = {name.ours: name.theirs for name in explain(description, names=True).names}
    shapes = {one.name: one.shape for one in parameters(description.spec)}
    spelled = {a.ours[0]: a.theirs for a in spell(description.rules(), shapes)}
    later = {name for name in shapes if name.startswith(("layers.1.", "layers.2."))}
    assert named == {name: theirs for name, theirs in spelled.items() if name not in later}
    assert named["layers.0.mixer.query.weight"] == ("model.layers.0.self_attn.q_proj.weight",)
    assert explain(description).names == ()


def test_the_type_of_weights_is_stated_never_guessed(tmp_path: Path) -> None:
    by_config = explain(described(tmp_path, LLAMA))
    assert (by_config.weights, by_config.state, by_config.notes) == ("float16", "float16", ())
    unsaid = explain(described(tmp_path, {**LLAMA, "torch_dtype": None}))
    assert unsaid.weights == "bfloat16"
    assert "names no type" in unsaid.notes[0]
    asked = explain(described(tmp_path, LLAMA), dtype="float32")
    assert (asked.weights, asked.state) == ("float32", "float32")
    assert asked.cost.weight_bytes > by_config.cost.weight_bytes
    with pytest.raises(RequestError, match="not one of float32, bfloat16, float16"):
        explain(described(tmp_path, LLAMA), dtype="q4")


def test_weights_are_counted_as_they_are_stored(tmp_path: Path) -> None:
    """Half of the layers in half the bytes: the file says so, and the sum is exact."""
    description = described(tmp_path, LLAMA)
    shapes = {one.name: one.shape for one in parameters(description.spec)}
    tensors = {}
    for assignment in spell(description.rules(), shapes):
        small = assignment.ours[0].startswith("layers.0.")
        kind = np.float16 if small else np.float32
        tensors[assignment.theirs[0]] = np.zeros(shapes[assignment.ours[0]], kind)
    save_file(tensors, tmp_path / "model.safetensors")
    found = explain(describe(tmp_path))
    assert (found.weights, found.notes) == ("as stored", ())
    unread = (32 - 1) * 8 * 4  # all rows of the embedding but one
    assert found.cost.weight_bytes == sum(t.nbytes for t in tensors.values()) - unread


def test_a_file_that_does_not_match_is_told_and_still_explained(tmp_path: Path) -> None:
    described(tmp_path, LLAMA)
    save_file({"stray": np.ones(3, np.float32)}, tmp_path / "model.safetensors")
    found = explain(describe(tmp_path))
    assert found.weights == "float16"
    assert "not counted as stored" in found.notes[0]
    assert "stray" in found.notes[0]


def test_a_context_beyond_the_model_is_refused(tmp_path: Path) -> None:
    ask = partial(explain, described(tmp_path, LLAMA))
    assert ask(context=64).context == ask().context == 64
    assert ask(context=1).cost.operations < ask(context=64).cost.operations
    for context in (0, 65):
        with pytest.raises(RequestError, match="takes 1 to 64"):
            ask(context=context)


@pytest.mark.parametrize(("module", "table"), running_code.TABLES)
def test_the_tables_read_as_text_are_the_tables_that_run(module: str, table: str) -> None:
    running = getattr(import_module(module), table)
    told = running_code.blocks(module, table)
    assert told == {
        (kind.__module__.rpartition(".")[2], kind.__name__): path for kind, path in running.items()
    }
    for path in told.values():
        file, line = running_code._class_line(path)
        block = getattr(import_module(path.partition(":")[0]), path.partition(":")[2])
        assert file == Path(inspect.getfile(block))
        assert line == inspect.getsourcelines(block)[1]


def test_the_code_of_every_compound_part_is_named(tmp_path: Path) -> None:
    description = described(tmp_path, PUBLISHED["mixtral-8x7b"]["config"])
    found = explain(description).code
    assert found[0].place.startswith("fathom/dialects/mixtral.py:")
    assert found[1].place.startswith("fathom/models/decoder.py:")

    def names(part: Part) -> set[str]:
        inner = [names(child) for _, child in children(part)]
        return {type(part).__name__}.union(*inner)

    unnamed = running_code.PLAIN | {"tuple"}
    assert {code.part for code in found[1:]} == names(description.spec) - unnamed


@pytest.mark.parametrize("name", ["mixtral-8x7b", "t5-small"])
def test_the_steps_of_a_program_are_named_where_one_runs(name: str, tmp_path: Path) -> None:
    description = described(tmp_path, PUBLISHED[name]["config"])
    found = explain(description)
    runs = why_modules(description.spec, device=this_machine().device) is None
    assert bool(found.steps) == runs
    for code in found.steps:
        stated = code.file.read_text(encoding="utf-8").splitlines()[code.line - 1 : code.line + 1]
        assert any(f"class {code.part}" in line for line in stated)
    assert not explain(description, dtype="float32").steps


def test_a_stack_of_each_kind_is_told_apart(tmp_path: Path) -> None:
    """Text read and text written have layers of their own, and costs of their own."""
    found: Any = explain(described(tmp_path, PUBLISHED["t5-small"]["config"]))
    stacks = {section.path: section for section in found.sections if section.kinds}
    assert list(stacks) == ["encoder.layers", "decoder.layers"]
    assert stacks["encoder.layers"].cost.state_bytes == 0
    assert stacks["decoder.layers"].cost.state_bytes > 0
