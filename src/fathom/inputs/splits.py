"""How BPE vocabularies cut text into words before merging: the ``tokenizer.ggml.pre`` kinds.

A GGUF file names the kind and carries no pattern. The names are those of llama.cpp; the patterns
are those of each publisher's own tokenizer.json, which llama.cpp approximates where its regular
expressions cannot say the same. Patterns are Oniguruma's and are applied one after the other:
each cuts the pieces that the one before left, and what lies between two matches is a piece too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Split:
    """One kind of pre-tokenization.

    `byte_level`: the vocabulary spells bytes in GPT-2's alphabet; otherwise it holds plain text
    with ``▁`` for a space and ``<0x0A>`` for stray bytes. `whole_words`: a word that is a token
    is taken whole, whatever the merges say. `bos` and `sep`: what is added around a text where
    the file has no flag of its own.
    """

    patterns: tuple[str, ...]
    byte_level: bool = True
    whole_words: bool = False
    bos: bool = False
    sep: bool = False


_TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START = r"[^\r\n\p{L}\p{N}]?"
_CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
_SYMBOL_WORD = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _words(digits: str, ending: str = r"[\r\n]*", letters: str = r"\p{L}+") -> str:
    """The pattern of cl100k: contractions, letters with one sign before them, digits, signs."""
    return rf"{_CONTRACTIONS}|{_START}{letters}|{digits}| ?[^\s\p{{L}}\p{{N}}]+{ending}{_TAIL}"


def _cased_words(digits: str, suffix: str, upper: str = _UPPER, lower: str = _LOWER) -> str:
    """The pattern of o200k: a word ends where lower case turns into upper case."""
    return (
        rf"{_START}{upper}*{lower}+{suffix}|{_START}{upper}+{lower}*{suffix}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_TAIL}"
    )


_CL100K = _words(r"\p{N}{1,3}")
_QWEN2 = _words(r"\p{N}")
_TEKKEN = _cased_words(r"\p{N}", "")
_O200K = _cased_words(r"\p{N}{1,3}", f"{_CONTRACTIONS}?")
_SYMBOLS_AND_WORDS = rf"{_SYMBOL_WORD}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
_DEEPSEEK_SIGNS = rf"{_SYMBOLS_AND_WORDS}| ?[\p{{P}}\p{{S}}]+[\r\n]*{_TAIL}"
_DEEPSEEK3 = (r"\p{N}{1,3}", _CJK, _DEEPSEEK_SIGNS)
_NOT_PUNCTUATION = " ?[^(\\s|.,!?…。，、।۔،)]+"
_DEEPSEEK_HAN = "[一-龥ࠀ-一가-\ud7ff]+"
_DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ"
    r"Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹ"
    r"ℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
_NOT_HAN = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_KIMI = r"[\p{Han}]+|" + _cased_words(r"\p{N}{1,3}", f"{_CONTRACTIONS}?", *_NOT_HAN).replace(
    r"[\r\n/]*", r"[\r\n]*"
)
_JAIS2_SPACES = "|".join(
    [*(rf"\s{{{2**power}}}(?!\S)" for power in range(9, 1, -1)), r"\s{1,2}(?!\S)", r"\s{1}"]
)
_LINES = r"[^\n]+|[\n]+"

_KINDS: tuple[tuple[tuple[str, ...], Split], ...] = (
    (
        ("default",),
        Split((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    ),
    (
        (
            *("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"),
            *("jina-es", "jina-de", "jina-v2-es", "jina-v2-de"),
            *("gigachat", "a.x-4.0", "mellum", "modern-bert"),
        ),
        Split((_GPT2,)),
    ),
    (("jina-v1-en", "jina-v2-code", "roberta-bpe"), Split((_GPT2,), sep=True)),
    (
        (
            *("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"),
            *("minerva-7b", "mellum2"),
        ),
        Split((r"\p{N}", _GPT2)),
    ),
    (
        (
            *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral"),
            *("midm-2.0", "lfm2", "jina-v5-nano"),
        ),
        Split((_CL100K,), whole_words=True, bos=True),
    ),
    (("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), Split((_CL100K,))),
    (
        (
            *("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"),
            *("stablelm2", "hunyuan", "solar-open", "grok-2"),
        ),
        Split((_QWEN2,)),
    ),
    (
        ("qwen35",),
        Split(
            (
                rf"{_CONTRACTIONS}|{_START}[\p{{L}}\p{{M}}]+|\p{{N}}"
                rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*{_TAIL}",
            )
        ),
    ),
    (("ufakzeka",), Split((_QWEN2.removeprefix(f"{_CONTRACTIONS}|"),))),
    (("laguna",), Split((_LINES, _QWEN2))),
    (("minicpm5",), Split((r"\p{N}{1,3}", _words(r"\p{N}+")), whole_words=True)),
    (
        ("seed-coder",),
        Split(
            (rf"{_CONTRACTIONS}|{_START}\p{{L}}+|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+{_TAIL}",)
        ),
    ),
    (
        ("bailingmoe", "bailingmoe2", "llada-moe"),
        Split(
            (
                r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
                r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
            )
        ),
    ),
    (
        ("exaone-moe",),
        Split(
            (
                rf"{_CONTRACTIONS}|{_START}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
            )
        ),
    ),
    (("jais-2",), Split((_CL100K.replace(r"|\s+(?!\S)|\s+", f"|{_JAIS2_SPACES}"),))),
    (("tekken",), Split((_TEKKEN,), whole_words=True, bos=True)),
    (("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), Split((_O200K,))),
    (("granite-embed-multi-97m",), Split((_O200K,), whole_words=True)),
    (("tiny_aya", "cohere2moe"), Split((r"\d{1,3}(?=(?:\d{3})*\b)", _O200K))),
    (("kimi-k2",), Split((_KIMI,))),
    (("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), Split(_DEEPSEEK3)),
    (
        ("afmoe",),
        Split(
            (
                r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
                "[一-鿿㐀-䶿\uf900-\ufaff\u3040-ゟ゠-ヿ･-ﾟ⼀-\u2fdfเ-\u0e7f\u0e80-\u0eff"
                "ក-\u17ffက-႟ꩠ-ꩿꧠ-\ua9ff가-\ud7afᄀ-ᇿ]+",
                _DEEPSEEK_SIGNS,
            )
        ),
    ),
    (
        ("spark2_5",),
        Split(
            (
                *_DEEPSEEK3[:2],
                _SYMBOLS_AND_WORDS + r"| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+",
                r"\p{N}",
            )
        ),
    ),
    (
        ("youtu",),
        Split(
            (
                "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，\u3001-\u303f\ufe30-\ufe4f]+|[ㄅ-ㄯ]+|" + _CJK,
                _cased_words(r"\p{N}", f"{_CONTRACTIONS}?"),
            ),
            whole_words=True,
        ),
    ),
    (
        ("deepseek-llm",),
        Split(
            (
                r"[\r\n]",
                _DEEPSEEK_LETTERS,
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                r"\s+$",
                _DEEPSEEK_HAN,
                r"\p{N}+",
            )
        ),
    ),
    (
        ("deepseek-coder",),
        Split((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_HAN, r"\p{N}")),
    ),
    (("falcon",), Split((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"))),
    (("poro-chat", "bloom", "gpt3-finnish"), Split((_NOT_PUNCTUATION,))),
    (("viking",), Split((_NOT_PUNCTUATION, r"\p{N}"))),
    (("superbpe",), Split((r"\p{N}+", r"(?=(\d{3})+(?!\d))"))),
    (
        ("chameleon",),
        Split(
            (
                r"<sentinel:[0-9]+>",
                r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                r"([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                _GPT2,
            ),
            bos=True,
        ),
    ),
    (("gemma4", "granite-embed-multi-311m"), Split((_LINES,), byte_level=False, bos=True)),
    (("sarvam-moe",), Split((_LINES,), byte_level=False)),
)

SPLITS: dict[str, Split] = {name: split for names, split in _KINDS for name in names}
"""Kind of pre-tokenization by the name that ``tokenizer.ggml.pre`` gives it."""
