"""Filling in the middle, from a folder on disk to the text in the gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom import library
from fathom.errors import ContextLengthError, RequestError, UnsupportedTaskError
from library.tiny import FILL, make


def test_a_middle_is_what_the_laid_out_prompt_goes_on_with(tmp_path: Path) -> None:
    model = library.open(str(make(tmp_path / "tiny", added=FILL)), dtype="float32", device="cpu")
    before, after, middle = FILL
    filled = model.infill("def f(", "): pass", max_tokens=6)
    laid_out = f"{before}def f({after}): pass{middle}"
    same = model.generate(laid_out, max_tokens=6)
    assert "".join(filled) == "".join(same)
    assert filled.usage == same.usage
    assert filled.tokens == same.tokens
    with pytest.raises(RequestError, match="both texts"):
        model.infill("", "")
    with pytest.raises(ContextLengthError):
        model.infill("x" * 64, "y")


def test_a_model_that_cannot_is_told_apart(tmp_path: Path) -> None:
    model = library.open(str(make(tmp_path / "tiny")), device="cpu")
    with pytest.raises(UnsupportedTaskError, match="no tokens for it"):
        model.infill("a", "b")
