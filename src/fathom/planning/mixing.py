"""What mixers hold while they compute: attention, latent attention and the recurrences.

Numbers of arrays are counted in the code that they mirror: `blocks/attention.py`,
`blocks/latent_attention.py`, `blocks/state_space.py` and the operations that those call.
"""

from __future__ import annotations

from dataclasses import dataclass

from fathom.planning.costs import EXACT_BYTES
from fathom.planning.ledger import Ledger, Pass
from fathom.spec.attention import Attention, Everything, GatedAttention, Window
from fathom.spec.decoder import Mixer
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Norm
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi
from fathom.spec.state_space import Convolution, DeltaRule, Mamba, Mamba2

SCAN_CHUNK = 32  # tokens, `ops/selective_scan.py`
MATRIX_CHUNK = 64  # tokens, `ops/state_space_duality.py` and `ops/delta_rule.py`
DISTANCE_BYTES = 8  # of an integer distance between two positions
# Of PyTorch's fused attention on a processor, per thread: scores of a block of queries by 512
# keys and a sum for each, in float32; types of 16 bits also keep the scores in their own.
_QUERY_BLOCKS = ((768, 256), (192, 64), (0, 32))  # from so many queries on → in a block
_KEY_BLOCK = 512


def norm(part: Norm, rows: int, passed: Pass, exact: bool = False) -> int:
    """Return the bytes that a norm of (rows, width) takes beside its input, result included.

    It computes in float32 and gives back the type of its input, `exact` being float32 itself.
    """
    number = rows * part.width
    copied = 0 if exact else passed.copied
    result = passed.size if copied else 0  # float32 gives what was computed
    working = EXACT_BYTES * (2 if part.weight and part.kind == "rms" else 1)
    return number * max(copied + working, EXACT_BYTES + result)


def mixer(ledger: Ledger, part: Mixer, passed: Pass, shared: int = 0) -> None:
    """Account for one mixer; scores of distances for so many `shared` heads may be added."""
    with ledger.scope():
        match part:
            case Attention():
                _attention(ledger, part, passed, shared)
            case LatentAttention():
                _latent(ledger, part, passed)
            case Mamba():
                _mamba(ledger, part, passed)
            case Mamba2():
                _mamba2(ledger, part, passed)
            case DeltaRule():
                _delta_rule(ledger, part, passed)


@dataclass(frozen=True)
class Sight:
    """Whether queries need a mask, and of which kind: none, one for all rows, one for each."""

    keys: int
    square: bool = False  # causal order alone, as many keys as queries: the kernel knows it
    ordered: bool = False  # causal order alone
    rows: int = 1


def _sight(part: Attention, passed: Pass) -> Sight:
    reach = part.reach
    keys, total = passed.keys, passed.keys
    if isinstance(reach, Window) and passed.kept:
        keys = min(total, reach.width + passed.length)
    limited = not isinstance(reach, Everything) and reach.width < total
    if passed.padded or limited or keys != total:
        return Sight(keys, rows=passed.batch)
    square = part.causal and passed.length == keys
    return Sight(keys, square=square or not part.causal or passed.length == 1, ordered=True)


def _attention(ledger: Ledger, part: Attention, passed: Pass, shared: int) -> None:
    queries = passed.tokens * part.heads * part.head_width
    keys = passed.tokens * part.kv_heads * part.head_width
    size = passed.size
    ledger.hold((queries + 2 * keys) * size, "queries, keys and values")
    if part.query_norm is not None:
        rows = queries // part.query_norm.width
        ledger.at("norm of the queries", norm(part.query_norm, rows, passed))
    if part.clip is not None:
        ledger.at("clipping queries, keys and values", (queries + 2 * keys) * size)
    if isinstance(part.positions, Rotary):
        _rotation(ledger, part.positions, part.heads, part.head_width, passed)
    if part.temperature is not None:
        ledger.at("sharpening the queries", queries * (passed.copied + EXACT_BYTES + size))
    _scored(ledger, part, _sight(part, passed), passed, shared)
    mixed = queries * size
    ledger.hold(mixed, "attended")
    gated = 2 * mixed if isinstance(part, GatedAttention) else 0
    ledger.at("leaving the heads", mixed + max(gated, passed.tokens * part.width * size))


def _rotation(ledger: Ledger, rotary: Rotary, heads: int, head_width: int, passed: Pass) -> None:
    """Two halves, their products and both joined again, in float32."""
    turned = passed.tokens * heads * rotary.width
    waves = passed.tokens * rotary.width * EXACT_BYTES  # cosine and sine, shared by layers
    whole = passed.tokens * heads * head_width * passed.size if rotary.width < head_width else 0
    working = turned * (passed.copied + 2 * EXACT_BYTES)
    ledger.hold(waves, "angles")
    ledger.at("rotating the queries", working + (turned * passed.size if passed.copied else 0))
    if whole:
        joined = turned * (passed.copied + EXACT_BYTES + passed.size)
        ledger.at("rotating the queries", joined + whole)


def _scored(ledger: Ledger, part: Attention, sight: Sight, passed: Pass, shared: int) -> None:
    """Account for scores, masks and sums of values; the result is the caller's to hold."""
    pairs = passed.length * sight.keys
    with ledger.scope():
        if passed.kept and sight.keys < passed.keys:  # a window's keys are joined to the new ones
            joined = passed.batch * sight.keys * part.kv_heads * part.head_width
            ledger.hold(2 * joined * passed.size, "keys within the window")
        if not sight.ordered:
            ledger.at("mask", 3 * sight.rows * pairs)
            ledger.hold(sight.rows * pairs, "mask")
        biased = shared
        if isinstance(part.positions, Alibi | RoundedAlibi):
            biased = part.heads
            _penalties(ledger, part.positions, sight, passed)
        if part.soft_cap is not None or part.sinks:
            _reference(ledger, part, sight, passed)
        else:
            _fused(ledger, part, sight, passed, biased)


def _penalties(ledger: Ledger, positions: Alibi | RoundedAlibi, sight: Sight, passed: Pass) -> None:
    pairs = passed.batch * passed.length * sight.keys
    heads = len(positions.slopes)
    if isinstance(positions, RoundedAlibi):
        ledger.hold(passed.batch * heads * sight.keys * EXACT_BYTES, "penalties of distances")
        return
    scored = heads * EXACT_BYTES * pairs
    ledger.at("penalties of distances", pairs * DISTANCE_BYTES + scored)
    ledger.hold(scored, "penalties of distances")


def _fused(ledger: Ledger, part: Attention, sight: Sight, passed: Pass, biased: int) -> None:
    pairs = passed.length * sight.keys
    result = passed.tokens * part.heads * part.head_width * passed.size
    if biased:
        hidden = passed.batch * biased * pairs * EXACT_BYTES
        scored = passed.batch * biased * pairs * passed.size if passed.copied else 0
        masked = part.causal or not sight.ordered
        ledger.at("scores of distances", (hidden if masked else 0) + scored + 2 * pairs)
        ledger.hold((hidden if masked else 0) + scored, "scores of distances")
    elif not sight.square:
        shown = pairs * sight.rows
        if sight.ordered:
            ledger.at("mask", 2 * shown)
            ledger.hold(shown, "mask")
        ledger.hold(shown * passed.size, "mask")
    ledger.at("attending", result + fused_buffers(part.head_width, passed))


def fused_buffers(head_width: int, passed: Pass) -> int:
    """Return the bytes that PyTorch's fused kernel for processors takes for its threads."""
    block = next(size for least, size in _QUERY_BLOCKS if passed.length >= least)
    block = min(block, passed.length)
    keys = min(_KEY_BLOCK, passed.keys)
    each = EXACT_BYTES * (block * keys + 2 * block + block * head_width)
    each += passed.size * block * keys if passed.copied else 0
    return passed.threads * each


def _reference(ledger: Ledger, part: Attention, sight: Sight, passed: Pass) -> None:
    """Account for the definition: scores of all pairs in float32, three times at most."""
    rows = passed.batch * part.heads
    keys = rows * sight.keys * part.head_width
    queries = rows * passed.length * part.head_width
    scores = rows * passed.length * sight.keys * EXACT_BYTES
    if sight.ordered:
        ledger.hold(passed.length * sight.keys, "mask")
    ledger.hold(2 * keys * passed.size, "keys and values of every head")
    entering = queries * (passed.copied + EXACT_BYTES) + keys * passed.copied
    ledger.at("scores in float32", entering + scores)
    most = 3 if part.soft_cap is not None or part.sinks else 2
    ledger.at("scores in float32", most * scores)
    ledger.at("sum of values", 2 * scores + keys * passed.copied + queries * EXACT_BYTES)


def _latent(ledger: Ledger, part: LatentAttention, passed: Pass) -> None:
    size, rotary = passed.size, part.positions.width
    queries = passed.tokens * part.heads * part.key_width
    kept = passed.tokens * (part.latent + rotary)
    if part.query_latent is not None:
        own = passed.tokens * part.query_latent
        ledger.at("queries", own * size + own * (passed.copied + 2 * EXACT_BYTES))
    ledger.hold((queries + 2 * kept) * size, "queries and latents")
    with ledger.scope():
        waves = passed.tokens * rotary * EXACT_BYTES
        ledger.hold(waves, "angles")
        turned = passed.tokens * part.heads * rotary
        working = turned * (passed.copied + 2 * EXACT_BYTES + (size if passed.copied else 0))
        ledger.at("rotating the queries", working)
        ledger.hold(queries * size, "rotated queries")
        mask = passed.length * passed.keys
        if passed.padded:
            ledger.at("mask", 3 * passed.batch * mask)
            ledger.hold(passed.batch * mask, "mask")
        if absorbs(part, passed):
            _absorbed(ledger, part, passed)
        else:
            _expanded(ledger, part, passed)
    mixed = passed.tokens * part.heads * part.value_width * size
    ledger.hold(mixed, "attended")
    ledger.at("leaving the heads", mixed + passed.tokens * part.width * size)


def absorbs(part: LatentAttention, passed: Pass) -> bool:
    """Whether queries are mapped to the latent, as `ops/latent_attention.py` decides."""
    maps = part.latent * (part.plain_width + part.value_width)
    rotary = part.positions.width
    absorbed = passed.length * (maps + passed.keys * (2 * part.latent + rotary))
    pairs = passed.length * passed.keys
    expanded = passed.keys * maps + pairs * (part.key_width + part.value_width)
    return absorbed <= expanded


def _absorbed(ledger: Ledger, part: LatentAttention, passed: Pass) -> None:
    """All heads share one key, the latent, which the unfused kernel repeats for each."""
    width = part.latent + part.positions.width
    asked = passed.tokens * part.heads * width * passed.size
    kept = passed.batch * passed.keys * width * passed.size
    ledger.at("absorbing", 2 * asked)
    ledger.hold(asked + kept, "absorbed queries")
    _unfused(ledger, part, passed, key_width=width, value_width=part.latent, kv_heads=1)


def _expanded(ledger: Ledger, part: LatentAttention, passed: Pass) -> None:
    rows = passed.batch * part.heads * passed.keys
    held = rows * (part.plain_width + part.value_width + part.key_width) * passed.size
    ledger.hold(held, "keys and values of every head")
    _unfused(
        ledger,
        part,
        passed,
        key_width=part.key_width,
        value_width=part.value_width,
        kv_heads=part.heads,
    )


def _unfused(
    ledger: Ledger,
    part: LatentAttention,
    passed: Pass,
    *,
    key_width: int,
    value_width: int,
    kv_heads: int,
) -> None:
    """Account for PyTorch's plain kernel, which takes values narrower than keys.

    It works in float32, repeats shared keys and values for every head, scales queries and keys,
    and holds all scores twice, and a mark for each where a whole row is hidden.
    """
    if key_width == value_width:
        ledger.at("attending", fused_buffers(key_width, passed))
        return
    rows = passed.batch * part.heads
    scores = rows * passed.length * passed.keys * EXACT_BYTES
    asked, keys = rows * passed.length * key_width, rows * passed.keys * key_width
    values = rows * passed.keys * value_width
    if passed.copied:
        shared = passed.batch * kv_heads * passed.keys * (key_width + value_width)
        ledger.hold((asked + shared) * EXACT_BYTES, "copies in float32")
    if kv_heads != part.heads:
        ledger.hold((keys + values) * EXACT_BYTES, "keys and values of every head")
    ledger.hold(asked * EXACT_BYTES, "scaled queries")
    ledger.at("scores in float32", keys * EXACT_BYTES + scores)
    ledger.at("scores in float32", scores * 9 // 4)


def _convolution(ledger: Ledger, part: Convolution, passed: Pass) -> None:
    """The last values before the pass joined to its own, then sums of float32 tap by tap."""
    number = passed.tokens * part.channels
    ledger.at("convolution", number * (passed.size + 2 * EXACT_BYTES))


def _mamba(ledger: Ledger, part: Mamba, passed: Pass) -> None:
    number = passed.tokens * part.inner
    size, exact = passed.size, EXACT_BYTES
    ledger.at("gate", 2 * number * size)
    ledger.hold(number * size, "gate")
    with ledger.scope():
        ledger.hold(number * size, "values")
        _convolution(ledger, part.convolution, passed)
    ledger.hold(number * size, "values")
    small = passed.tokens * (part.rank + 2 * part.state_width) * (size + exact)
    ledger.hold(small, "what is written and read")
    ledger.at("time steps", number * (passed.copied + 2 * exact + size))
    ledger.hold(number * exact, "time steps")
    with ledger.scope():
        remembered = passed.batch * part.inner * part.state_width * exact
        chunk = min(SCAN_CHUNK, passed.length) * remembered
        ledger.hold(number * passed.copied + remembered, "values in float32")
        if passed.length == 1:
            ledger.at("scan", 4 * remembered)
        else:
            ledger.hold(number * exact, "scaled values")
            ledger.at("scan", 3 * chunk + number * exact + 2 * remembered)
            ledger.at("scan", 2 * chunk + 2 * number * exact)
    ledger.hold(number * exact, "scanned")
    ledger.at("gating", 3 * number * exact)
    ledger.at("leaving the recurrence", number * (exact + size))


def _mamba2(ledger: Ledger, part: Mamba2, passed: Pass) -> None:
    joined = part.convolution.channels
    number = passed.tokens * joined
    inner = passed.tokens * part.inner
    with ledger.scope():
        ledger.hold(number * passed.size, "values")
        _convolution(ledger, part.convolution, passed)
    ledger.at("values", 2 * number * passed.size)
    ledger.hold(number * EXACT_BYTES, "values")
    with ledger.scope():
        per_head = passed.tokens * part.heads * part.state_width * EXACT_BYTES
        ledger.hold(2 * per_head, "what is written and read, by heads")
        ledger.hold(inner * EXACT_BYTES, "scaled values")
        state = passed.batch * part.heads * part.head_width * part.state_width * EXACT_BYTES
        _by_chunks(ledger, passed, part.heads, inner * EXACT_BYTES, state, squares=2)
    ledger.hold(inner * EXACT_BYTES, "recurrence by chunks")
    ledger.at("gating", inner * (4 * EXACT_BYTES + passed.size))
    ledger.at("norm", inner * EXACT_BYTES + norm(part.norm, passed.tokens, passed, exact=True))


def _delta_rule(ledger: Ledger, part: DeltaRule, passed: Pass) -> None:
    number = passed.tokens * part.convolution.channels
    keys = passed.tokens * part.value_heads * part.key_width * EXACT_BYTES
    values = passed.tokens * part.value_heads * part.value_width * EXACT_BYTES
    with ledger.scope():
        ledger.hold(number * passed.size, "queries, keys and values")
        _convolution(ledger, part.convolution, passed)
    ledger.hold(number * EXACT_BYTES, "queries, keys and values")
    ledger.at("lengths of keys", 4 * keys)
    ledger.hold(2 * keys, "queries and keys by heads")
    with ledger.scope():
        state = passed.batch * part.value_heads * part.key_width * part.value_width * EXACT_BYTES
        _by_chunks(ledger, passed, part.value_heads, values, state, squares=3)
    ledger.hold(values, "recurrence by chunks")
    ledger.at("gating", 4 * values)
    rows = passed.tokens * part.value_heads
    ledger.at("norm", values + norm(part.norm, rows, passed, exact=True))


def _by_chunks(
    ledger: Ledger, passed: Pass, heads: int, values: int, state: int, squares: int
) -> None:
    """Account for a recurrence that takes chunks of tokens as matrices.

    A chunk keeps so many `squares` of tokens by tokens, and sums of its values; what the chunk
    before it kept is let go of only as the next one makes its own. `values` and `state` are the
    bytes of all results and of what is remembered.
    """
    if passed.length == 1:  # token by token: the definition
        ledger.at("recurrence", 4 * state)
        return
    chunk = min(MATRIX_CHUNK, passed.length)
    square = passed.batch * heads * chunk * chunk * EXACT_BYTES
    piece = values * chunk // passed.length
    left = squares * square + 2 * piece if passed.length > chunk else 0
    ledger.hold(state, "recurrence by chunks")
    ledger.at("recurrence by chunks", left + 3 * square)
    ledger.at("recurrence by chunks", (squares + 1) * square + 3 * piece)
    ledger.at("recurrence by chunks", squares * square + values + 2 * piece + 2 * state)
    ledger.at("recurrence by chunks", squares * square + 2 * values + 2 * piece)
