"""Tokens that vocabularies agree on by name, where no file says what they are for."""

from __future__ import annotations

from collections.abc import Callable

END_OF_TURN = (
    "<|eot_id|>",  # llama 3
    "<|eom_id|>",  # llama 3, before a tool answers
    "<|eot|>",  # llama 4
    "<|im_end|>",  # chatml
    "<|end|>",  # phi 3
    "<|endoftext|>",  # gpt-2, phi 3
    "<|end_of_text|>",  # granite, llama 3
    "<end_of_turn>",  # gemma
    "<turn|>",  # gemma 4
    "<|return|>",  # gpt-oss
    "<|call|>",  # gpt-oss
    "<|END_OF_TURN_TOKEN|>",  # command-r
    "<｜end▁of▁sentence｜>",  # deepseek
    "<end_of_utterance>",  # smolvlm
    "[EOT]",  # kimi
    "<EOT>",
    "</s>",
)
"""Tokens after which an answer is over. Read only where the vocabulary marks them as special."""

INFILL = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # qwen coder
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # starcoder, granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # santacoder
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # deepseek coder
    ("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),  # seed coder
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # glm
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # code llama
    ("<PRE>", "<SUF>", "<MID>"),
    ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),  # codestral
)
"""(prefix, suffix, middle) tokens of fill-in-the-middle training."""

REASONING = (
    ("<think>", "</think>"),  # deepseek r1, qwen 3
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # command a
    ("[THINK]", "[/THINK]"),  # magistral
    ("<seed:think>", "</seed:think>"),  # seed oss
    ("◁think▷", "◁/think▷"),  # kimi
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # apertus
    ("<|channel|>analysis<|message|>", "<|end|>"),  # gpt-oss
)
"""What opens and closes a span of reasoning."""


def end_of_turn(
    token_to_id: Callable[[str], int | None], special: frozenset[int]
) -> frozenset[int]:
    """Ids of the special tokens that end an answer.

    In gpt-oss ``<|end|>`` closes one channel and the answer goes on; ``<|return|>`` ends it.
    """
    found = {name: token_to_id(name) for name in END_OF_TURN}
    if found["<|return|>"] is not None:
        found["<|end|>"] = None
    return frozenset(id for id in found.values() if id is not None and id in special)


def infill(token_to_id: Callable[[str], int | None]) -> tuple[str, str, str] | None:
    """The first triple of `INFILL` that is whole in the vocabulary."""
    for names in INFILL:
        if all(token_to_id(name) is not None for name in names):
            return names
    return None


def reasoning(
    token_to_id: Callable[[str], int | None], template: str | None
) -> tuple[str, str] | None:
    """The first pair of `REASONING` that the vocabulary has as tokens or the template spells."""
    for names in REASONING:
        if all(token_to_id(name) is not None for name in names):
            return names
    for names in REASONING:
        if template is not None and all(name in template for name in names):
            return names
    return None
