"""From recurrences to steps: maps, a short convolution, the recurrence itself, a gate."""

from __future__ import annotations

from fathom.programs.lowering import Lowering, factor, join, norm_shape, normalise
from fathom.programs.plan import NoProgramError
from fathom.programs.recurrent_steps import WIDEST_CONVOLUTION, Column, Convolve, Delta, Dual, Scan
from fathom.programs.steps import Activate, Multiply
from fathom.spec.decoder import Residual
from fathom.spec.parts import Linear, Norm, children
from fathom.spec.state_space import Convolution, DeltaRule, Mamba, Mamba2, Recurrence


def lower_recurrence(
    to: Lowering, mixer: Recurrence, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """Let tokens leave something for later ones; `paths` are those of the mixer and its residual.

    Raises:
        NoProgramError: for a convolution that sees more than its step can.
    """
    path, around = paths
    match mixer:
        case Mamba():
            mixed = _mamba(to, mixer, path, source)
        case Mamba2():
            mixed = _mamba2(to, mixer, path, source)
        case DeltaRule():
            mixed = _delta_rule(to, mixer, path, source)
    join(to, residual, around, mixed, factor(_linears(mixer)["output"], f"{path}.output"))


def _linears(mixer: Recurrence) -> dict[str, Linear]:
    return {name: part for name, part in children(mixer) if isinstance(part, Linear)}


def _project(
    to: Lowering, mixer: Recurrence, path: str, source: str, rows: str, names: tuple[str, ...]
) -> dict[str, Column]:
    """Put maps of rows side by side; return where each one's results begin."""
    linears = _linears(mixer)
    target = to.take(rows, sum(linears[name].outputs for name in names))
    to.add(Multiply(source, target, tuple(factor(linears[n], f"{path}.{n}") for n in names)))
    columns, offset = {}, 0
    for name in names:
        columns[name] = (target, offset)
        offset += linears[name].outputs
    return columns


def _convolve(to: Lowering, part: Convolution, path: str, source: Column) -> str:
    if part.kernel > WIDEST_CONVOLUTION:
        raise NoProgramError(
            f"a convolution over {part.kernel} tokens is wider than {WIDEST_CONVOLUTION}"
        )
    target = to.take("convolved", part.channels)
    bias = f"{path}.bias" if part.bias else None
    kept = to.remember((part.kernel - 1) * part.channels)
    shape = part.channels, part.kernel
    to.add(Convolve(source, target, *shape, f"{path}.weight", bias, part.activation, kept))
    return target


def _mamba(to: Lowering, part: Mamba, path: str, source: str) -> str:
    entered = _project(to, part, path, source, "value and gate", ("value", "gate"))
    value = _convolve(to, part.convolution, f"{path}.convolution", entered["value"])

    def read_off(name: str, norm: Norm | None) -> str:
        rows, _ = _project(to, part, path, value, name, (name,))[name]
        return normalise(to, norm, f"{path}.{name}_norm", rows, rows)

    rank = read_off("rank", part.rank_norm)
    write, read = read_off("write", part.write_norm), read_off("read", part.read_norm)
    steps = _project(to, part, path, rank, "time steps", ("time_step",))
    scan = Scan(
        (value, 0),
        steps["time_step"],
        (write, 0),
        (read, 0),
        entered["gate"],
        to.take("mixed", part.inner),
        part.inner,
        part.state_width,
        f"{path}.decay",
        f"{path}.time_step_bias",
        f"{path}.skip",
        to.slot_bytes,
    )
    to.remember(scan.remembered)
    to.add(scan)
    return scan.target


def _mamba2(to: Lowering, part: Mamba2, path: str, source: str) -> str:
    names = ("gate", "value", "write", "read", "time_step")
    entered = _project(to, part, path, source, "recurrence", names)
    convolved = _convolve(to, part.convolution, f"{path}.convolution", entered["value"])
    shared = part.groups * part.state_width
    dual = Dual(
        (convolved, 0),
        (convolved, part.inner),
        (convolved, part.inner + shared),
        entered["time_step"],
        to.take("mixed", part.inner),
        part.heads,
        part.head_width,
        part.groups,
        part.state_width,
        part.time_step_limit,
        f"{path}.decay",
        f"{path}.time_step_bias",
        f"{path}.skip",
        to.slot_bytes,
    )
    to.remember(dual.remembered)
    to.add(dual)
    mixed = dual.target
    to.add(Activate(entered["gate"], (mixed, 0), mixed, part.inner, "silu"))
    return normalise(to, part.norm, f"{path}.norm", mixed, mixed)


def _delta_rule(to: Lowering, part: DeltaRule, path: str, source: str) -> str:
    names = ("query", "key", "value", "gate", "share", "time_step")
    entered = _project(to, part, path, source, "recurrence", names)
    convolved = _convolve(to, part.convolution, f"{path}.convolution", entered["query"])
    keys, values = part.key_heads * part.key_width, part.value_heads * part.value_width
    delta = Delta(
        (convolved, 0),
        (convolved, keys),
        (convolved, 2 * keys),
        entered["share"],
        entered["time_step"],
        to.take("mixed", values),
        part.value_heads,
        part.value_width,
        part.key_heads,
        part.key_width,
        f"{path}.decay",
        f"{path}.time_step_bias",
        norm_shape(part.norm, f"{path}.norm"),
        to.slot_bytes,
    )
    to.remember(delta.remembered)
    to.add(delta)
    mixed = delta.target
    to.add(Activate(entered["gate"], (mixed, 0), mixed, values, "silu"))
    return mixed
