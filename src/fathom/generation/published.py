"""How a model's publisher wants its answers written: what generation_config.json says. No torch.

Every option is applied, or told about where its value would have changed an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fathom.errors import ConfigError, RequestError
from fathom.generation.constraints import Beams, Constraints
from fathom.generation.request import Request, Sampling

WHERE = "generation_config.json"

# Options that are read, here or by the tokenizer and by `pair.Opening`.
APPLIED = frozenset(
    {
        *("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"),
        *("num_beams", "length_penalty", "early_stopping"),
        *("max_length", "max_new_tokens", "min_length", "min_new_tokens", "stop_strings"),
        *("no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
        *("forced_bos_token_id", "forced_eos_token_id", "decoder_start_token_id"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    }
)

# Options that say how to compute or what to return, and never which token is written.
ELSEWHERE = frozenset(
    {
        *("transformers_version", "use_cache", "cache_implementation", "cache_config"),
        *("max_cache_len", "low_memory", "compile_config", "disable_compile", "is_assistant"),
        *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
        *("return_dict_in_generate", "num_return_sequences", "prefill_chunk_size"),
        *("continuous_batching_config", "max_time", "use_mtp", "speculation_type"),
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_early_exit"),
        *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind"),
        *("prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_ensemble_weight"),
    }
)

# Options that are not applied, with the value that changes nothing; None is such a value of all.
UNAPPLIED: Mapping[str, object] = {
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None,
    "sequence_bias": None,
    "guidance_scale": 1.0,
    "renormalize_logits": False,
    "remove_invalid_values": False,
    "token_healing": False,
    "watermarking_config": None,
    "penalty_alpha": 0.0,
    "dola_layers": None,
    "diversity_penalty": 0.0,
    "num_beam_groups": 1,
    "constraints": None,
    "force_words_ids": None,
}
UNAPPLIED_DRAWING: Mapping[str, object] = {  # options of a draw; they say nothing without one
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "top_h": None,
}


@dataclass(frozen=True)
class Published:
    """A publisher's defaults for one model, and what of them is not applied.

    `opening` is how many tokens open an answer of a model that reads one text and writes another;
    None for one that continues its prompt. Lengths are as the publisher states them: `max_length`
    and `min_length` count what stands before the answer too.
    """

    sampling: Sampling = field(default_factory=Sampling)
    constraints: Constraints = field(default_factory=Constraints)
    beams: Beams = field(default_factory=Beams)
    stop: tuple[str, ...] = ()
    lengths: Mapping[str, int] | None = None
    opening: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls, stated: Mapping[str, object], *, opening: int | None = None, where: str = WHERE
    ) -> Published:
        """Read the options of transformers' generation config.

        Raises:
            ConfigError: for a value out of range.
        """
        config = {key: value for key, value in stated.items() if value is not None}
        sampling = Sampling.published(config, where)
        try:
            return cls(
                sampling,
                _constraints(config),
                _beams(config, opening),
                _texts(config),
                _lengths(config),
                opening,
                tuple(_notes(config, sampling, opening)),
            )
        except RequestError as error:
            raise ConfigError(f"{where}: {error}; correct the file") from error

    def request(
        self, prompt: Sequence[int], options: Mapping[str, object], room: int
    ) -> tuple[Request, tuple[str, ...]]:
        """Return a request for an answer, and what is to be said about it.

        Args:
            prompt: token ids that are read.
            options: what was asked for; the rest is as published.
            room: tokens that an answer may have where nobody says.

        Raises:
            RequestError: for an unknown option or a bad value.
        """
        before = len(prompt) if self.opening is None else self.opening
        defaults: dict[str, object] = {"stop": self.stop, "max_tokens": self._most(before, room)}
        asked = {name: value for name, value in options.items() if value is not None}
        least = max(self._least(before), self.constraints.min_tokens)
        constraints = replace(self.constraints, min_tokens=least)
        beams, notes = self.beams, self.notes
        if beams.beams > 1 and "beams" not in asked and self._draws(asked):
            notes += (f"{beams.beams} beams are published; chance was asked for, so there is one",)
            beams = replace(beams, beams=1)
        request = Request.asked(
            prompt, self.sampling, {**defaults, **asked}, constraints=constraints, beams=beams
        )
        return request, notes

    def _draws(self, asked: Mapping[str, object]) -> bool:
        names = asked.keys() & {"temperature", "top_k", "top_p", "min_p"}
        return not self.sampling.changed({name: asked[name] for name in names}).greedy

    def _most(self, before: int, room: int) -> int:
        """Return how long an answer gets where nobody asks for a length."""
        lengths = self.lengths or {}
        stated = [room]
        if "max_new_tokens" in lengths:
            stated.append(lengths["max_new_tokens"] - self._counted)
        elif "max_length" in lengths and lengths["max_length"] > before:
            stated.append(lengths["max_length"] - before)
        return max(1, min(stated))

    def _least(self, before: int) -> int:
        """Return how many tokens an answer must have."""
        lengths = self.lengths or {}
        new = lengths.get("min_new_tokens", 0) - self._counted
        return max(0, new, lengths.get("min_length", 0) - before)

    @property
    def _counted(self) -> int:
        """Tokens of the opening that a publisher counts as new: all but the very first."""
        return max(0, (self.opening or 1) - 1)


def legacy(config: Mapping[str, object]) -> dict[str, object]:
    """Return the options of generation that a config.json of older days states itself."""
    known = APPLIED | UNAPPLIED.keys() | UNAPPLIED_DRAWING.keys()
    return {key: config[key] for key in config.keys() & known}


def _constraints(config: Mapping[str, object]) -> Constraints:
    words = _listed(config, "bad_words_ids")
    forced = config.get("forced_eos_token_id")
    return Constraints(
        no_repeat_ngram_size=config.get("no_repeat_ngram_size", 0),  # type: ignore[arg-type]
        suppress_tokens=tuple(_listed(config, "suppress_tokens")),  # type: ignore[arg-type]
        begin_suppress_tokens=tuple(_listed(config, "begin_suppress_tokens")),  # type: ignore[arg-type]
        bad_words=tuple(tuple(word) if isinstance(word, list) else word for word in words),  # type: ignore[misc]
        forced_end=forced[0] if isinstance(forced, list) else forced,  # type: ignore[arg-type]
    )


def _beams(config: Mapping[str, object], opening: int | None) -> Beams:
    if opening is None:
        return Beams()
    return Beams(
        config.get("num_beams", 1),  # type: ignore[arg-type]  # checked there
        config.get("length_penalty", 1.0),  # type: ignore[arg-type]
        config.get("early_stopping", False),  # type: ignore[arg-type]
    )


def _texts(config: Mapping[str, object]) -> tuple[str, ...]:
    stated = config.get("stop_strings", [])
    texts = [stated] if isinstance(stated, str) else stated
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise RequestError(f"stop_strings must be texts, not {stated!r}")
    return tuple(texts)


def _lengths(config: Mapping[str, object]) -> dict[str, int]:
    found = {}
    for name in ("max_length", "max_new_tokens", "min_length", "min_new_tokens"):
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, int | None):
            raise RequestError(f"{name} must be a whole number, not {value!r}")
        if value is not None:
            found[name] = value
    return found


def _listed(config: Mapping[str, object], key: str) -> list[object]:
    stated = config.get(key, [])
    if not isinstance(stated, list):
        raise RequestError(f"{key} must be a list, not {stated!r}")
    return stated


def _notes(config: Mapping[str, object], sampling: Sampling, opening: int | None) -> list[str]:
    """Say what of a configuration is not applied."""
    neutral = {**UNAPPLIED, **({} if sampling.greedy else UNAPPLIED_DRAWING)}
    left = {key: config[key] for key in config.keys() & neutral.keys()}
    left = {key: value for key, value in left.items() if value != neutral[key]}
    if config.get("num_beams", 1) != 1 and (opening is None or config.get("do_sample") is True):
        left["num_beams"] = config["num_beams"]
    notes = [
        f"the publisher's {key} = {value} is not applied" for key, value in sorted(left.items())
    ]
    known = APPLIED | ELSEWHERE | UNAPPLIED.keys() | UNAPPLIED_DRAWING.keys()
    strange = sorted(key for key in config.keys() - known if not key.startswith("_"))
    if strange:
        notes.append(f"{WHERE} also states {', '.join(strange)}, of which nothing is known here")
    return notes
