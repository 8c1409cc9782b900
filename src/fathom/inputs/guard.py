"""The door to the `tokenizers` library: its panics and exceptions leave as `TokenizerError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fathom.errors import TokenizerError


@contextmanager
def tokenizer_errors(doing: str, remedy: str, *, code: str = "E_TOKENIZER") -> Iterator[None]:
    """Turn whatever `tokenizers` raises inside the block into one line: what failed and what to do.

    `code` is that of the error.

    The Rust core raises bare `Exception` for malformed input and `PanicException`, which is a
    `BaseException` that cannot be imported, for input it never expected.
    """
    try:
        yield
    except TokenizerError:
        raise
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"{doing}: character {error.start + 1:,} is a lone surrogate, which UTF-8 cannot hold; "
            "decode the text with errors='replace' first"
        ) from error
    except Exception as error:
        raise TokenizerError(f"{doing}: {_first_line(error)}; {remedy}", code=code) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"{doing}: {_first_line(error)}; {remedy}", code=code) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".")[:300] if text else type(error).__name__
