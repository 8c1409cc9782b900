"""Messages: one line, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.errors import ModelFileError


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("E_TRUNCATED", "fetch it again"), ("E_UNSAFE_CODE", "as safetensors"), ("E_NEW", "fetch it")],
)
def test_a_fault_of_a_file_that_names_no_remedy_gets_that_of_its_kind(
    code: str, remedy: str
) -> None:
    fault = ModelFileError(code, "two tensors overlap", file=Path("model.gguf"), offset=12)
    assert str(fault).startswith("model.gguf at byte 12: two tensors overlap; ")
    assert remedy in str(fault) and str(fault).endswith(f" [{code}]")
    assert fault.detail == "two tensors overlap"


def test_a_remedy_that_is_named_stays_alone() -> None:
    fault = ModelFileError("E_TRUNCATED", "it is cut short; take the other mirror")
    assert str(fault) == "it is cut short; take the other mirror [E_TRUNCATED]"
