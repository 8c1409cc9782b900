"""The joined rooms: a name becomes a description, a description a running model.

    model = fathom.open("smollm2:135m")
    model.card, model.spec, model.fit(context=8192)
    for piece in model.generate("Once upon a time"):
        print(piece, end="")

`describing.py` leads from names to all that can be known, `opening.py` to what runs; `model.py` is
what was opened, `text.py` and `staged.py` by kind.
Importing this loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.library.describing import describe, explain, fit, locate
from fathom.library.model import Model
from fathom.library.opening import convert, open
from fathom.library.text import TextModel, text_of

if TYPE_CHECKING:
    from fathom.generation.results import Generation

__all__ = [
    "Generation",
    "Model",
    "TextModel",
    "convert",
    "describe",
    "explain",
    "fit",
    "locate",
    "open",
    "text_of",
]
