"""The slopes of linear attention biases, as their paper gives them."""

from __future__ import annotations


def slopes(heads: int, steepest: float = 8.0) -> tuple[float, ...]:
    """Return a slope per head (Press et al., 2021, arXiv 2108.12409).

    For a power of two they are 2^(-steepest · i / heads), i = 1 … heads. Otherwise the slopes of
    the power of two below, then every other one of the power above.
    """

    def geometric(count: int) -> list[float]:
        return [2.0 ** (-steepest * index / count) for index in range(1, count + 1)]

    below = 1 << (heads.bit_length() - 1)
    between = geometric(2 * below)[0::2]
    return (*geometric(below), *between[: heads - below])
