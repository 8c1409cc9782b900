"""The likeliest token, where nothing adjusts the scores: no torch is loaded for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fathom.errors import NumericError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def likeliest(scores: NDArray[np.float32]) -> int:
    """Return the token of the best score, (vocabulary,); of several equal ones the first.

    Raises:
        NumericError: when the best score is not a finite number.
    """
    token = int(scores.argmax())  # not a number wins over all
    require_finite(float(scores[token]))
    return token


def require_finite(highest: float) -> None:
    """Refuse scores whose best is infinite or not a number."""
    if not math.isfinite(highest):
        raise NumericError(
            f"the model's best score is {highest}: its weights are broken or overflow in "
            "this type; try float32"
        )
