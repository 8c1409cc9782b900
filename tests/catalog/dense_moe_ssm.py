"""docs/dense-moe-ssm.md: four designs of one size, computed through their specs.

python tests/catalog/dense_moe_ssm.py      # writes the page
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fathom.catalog.models import configuration
from fathom.checkpoint.published import published_spec
from fathom.cli.explain import count_text
from fathom.cli.output import byte_text, rate_text
from fathom.planning import costs
from fathom.planning.predict import predict
from fathom.planning.target import target
from fathom.spec.classes import model_class
from fathom.spec.decoder import Decoder
from fathom.spec.parts import active, count

FILE = Path(__file__).resolve().parents[2] / "docs" / "dense-moe-ssm.md"
LENGTHS = (1024, 16_384, 131_072)  # tokens
GPU = "RTX 4090"
DTYPE = "bfloat16"
SHARED = {"vocab_size": 65_024, "max_position_embeddings": 131_072, "tie_word_embeddings": False}
# Changes of published configurations, so that all four have 7.3 B parameters and one vocabulary.
SAME_SIZE: Mapping[str, Mapping[str, object]] = {
    "dense": {**configuration("llama-3.1-8b"), **SHARED, "num_hidden_layers": 31},
    "mixture": {
        **configuration("qwen3-30b-a3b"),
        **SHARED,
        "num_hidden_layers": 17,
        "num_experts": 64,
        "moe_intermediate_size": 1024,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "state space": {
        **configuration("mamba-2.8b"),
        **SHARED,
        "hidden_size": 4096,
        "intermediate_size": 8192,
        "time_step_rank": 256,
    },
    "hybrid": {
        **configuration("jamba"),
        **SHARED,
        "num_experts": 1,
        "intermediate_size": 9216,
    },
}
PUBLISHED = (
    *("llama-3.1-8b", "mistral-7b", "gemma-3-12b", "olmoe", "mixtral-8x7b", "qwen3-30b-a3b"),
    *("deepseek-v3", "pythia-2.8b", "mamba-2.8b", "jamba"),
)

HEAD = f"""\
# Dense, mixture, state space

Written by `python tests/catalog/dense_moe_ssm.py`; a test holds it to the program. All figures
follow from the specs that also run the models: nothing here is quoted. Weights and state are in
{DTYPE}, sequences are one at a time.

## Four designs of one size

A dense decoder after Llama 3.1, a mixture of 64 experts with 8 per token after Qwen3, a state space
model after Mamba, and a hybrid after Jamba in which 1 layer of 8 attends; sizes are changed so that
each has 7.3 B parameters and a vocabulary of 65,024. They show what the design costs, not what
it knows: of models of one size trained alike nobody has published all four.

"""
READING = """\

What the tables say:

- **Memory follows all parameters.** A mixture saves arithmetic and reading, not memory: the four
  take the same weights.
- **Speed of one sequence follows what a token reads.** The mixture reads a sixth of its weights,
  until many sequences at once ask for different experts.
- **Attention's state grows with every token**, a recurrence's not at all. At 131,072 tokens the
  dense model reads more state than weights; the hybrid keeps a fraction of it because few of its
  layers attend.
- **Reading a prompt is linear without attention.** With it the cost per token grows; by how much at
  a length is the ratio of the table, which is 1 where reading is linear.

And what they do not: a state of one size cannot hold every word of a long text. State space models
recall exact strings worse than attention (Jelassi et al., arXiv 2402.01032), which a few attending
layers mend (Jamba, arXiv 2403.19887). Choose dense for a single GPU with memory to match, a mixture
where memory is cheap and one person waits, a hybrid for long texts.

Measured figures stand beside these forecasts in `fathom bench`, which keeps a record of each run
(`fathom measurements`).

## Published models

As if the positions of each reached so far; some stop earlier.

"""


def decoder(config: Mapping[str, object]) -> Decoder:
    """Return the spec of a configuration of a decoder."""
    spec = published_spec(config)
    if not isinstance(spec, Decoder):
        raise TypeError("this page compares decoders")
    return spec


def operations_to_read(spec: Decoder, tokens: int) -> float:
    """Return the operations of reading a prompt: each token sees half of it on average."""
    maps = costs.map_operations(spec.layers)
    return tokens * (maps + costs.mixing_operations(spec.layers, tokens // 2))


def growth(spec: Decoder, tokens: int) -> float:
    """Return the operations per token of a prompt of this length, by those of the shortest."""
    shortest = LENGTHS[0]
    return operations_to_read(spec, tokens) / operations_to_read(spec, shortest) * shortest / tokens


def written(spec: Decoder, tokens: int) -> str:
    """Return tokens per second at the data sheet's peak, when so many lie before."""
    place = target(GPU, None, DTYPE)
    found = predict(spec, dtype=DTYPE, context=2 * tokens, rates=place.rates)
    return rate_text(found.decode_tokens_per_second or 0.0, "tokens")


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; the first row is its head."""
    yield f"| {' | '.join(rows[0])} |"
    yield f"| {' | '.join('---' for _ in rows[0])} |"
    yield from (f"| {' | '.join(row)} |" for row in rows[1:])


def size_row(name: str, spec: Decoder) -> tuple[str, ...]:
    read = costs.weight_bytes_read(spec, costs.computed_in(DTYPE))
    states = (byte_text(costs.state_bytes(spec, DTYPE, length)) for length in LENGTHS)
    return name, count_text(count(spec)), count_text(active(spec)), byte_text(read), *states


def work_row(name: str, spec: Decoder) -> tuple[str, ...]:
    token = (
        count_text(costs.map_operations(spec) + costs.mixing_operations(spec, length))
        for length in LENGTHS
    )
    grown = (f"{growth(spec, length):.2f}" for length in LENGTHS[1:])
    return name, *token, *grown


def speed_row(name: str, spec: Decoder) -> tuple[str, ...]:
    return name, *(written(spec, length) for length in LENGTHS)


def text() -> str:
    """Return what the page should say."""
    same = {name: decoder(config) for name, config in SAME_SIZE.items()}
    published = {
        f"{name} ({model_class(spec)[0]})": spec
        for name, spec in ((name, decoder(configuration(name))) for name in PUBLISHED)
    }
    return (
        HEAD
        + _tables(same)
        + f"\n\nTokens/s written on one {GPU} by its data sheet, an upper bound, "
        + "fit or not:\n\n"
        + _lines(speed_row, ("design", *_at("after")), same)
        + "\n"
        + READING
        + _tables(published)
        + "\n"
    )


def _tables(specs: Mapping[str, Decoder]) -> str:
    sizes = ("model", "parameters", "per token", "weights read", *_at("state at"))
    work = ("model", *_at("FLOPs after"), *_at("reading grows at")[1:])
    return f"{_lines(size_row, sizes, specs)}\n\n{_lines(work_row, work, specs)}"


def _at(words: str) -> tuple[str, ...]:
    return tuple(f"{words} {length:,}" for length in LENGTHS)


def _lines(row, head: Sequence[str], specs: Mapping[str, Decoder]) -> str:
    return "\n".join(table([head, *(row(name, spec) for name, spec in specs.items())]))


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
