"""How much a file may ask for, each number with its reason: the one home of these limits.

A header is an untrusted request for memory. What it declares is compared with these limits and
with the length of the file before anything of that size is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fathom.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of something that a file may hold, in `unit`, and why that is enough."""

    most: int
    unit: str
    reason: str

    def check(
        self,
        amount: int,
        what: str,
        *,
        file: Path | None,
        code: str = "E_LIMIT",
        offset: int | None = None,
    ) -> None:
        """Raise `ModelFileError` with `code` if `amount` of `what` exceeds the limit."""
        if amount > self.most:
            detail = f"{what}: {amount:,} {self.unit}, at most {self.most:,} ({self.reason})"
            raise ModelFileError(code, detail, file=file, offset=offset)


# Numbers in files are unsigned 64 bit; positions are kept below 2^63 so that every reader agrees.
POSITION = Limit(2**63 - 1, "bytes", "positions are signed 64-bit numbers in every other reader")

JSON_BYTES = Limit(16 << 20, "bytes", "the largest published config.json is under 1 MiB")
INDEX_BYTES = Limit(100_000_000, "bytes", "an index repeats the names that headers hold")
JSON_DEPTH = Limit(64, "levels", "published configurations nest fewer than ten levels")

SAFETENSORS_HEADER = Limit(100_000_000, "bytes", "the limit that the format itself sets")
TENSORS = Limit(200_000, "tensors", "the largest published mixture of experts has about 100,000")
TENSOR_NAME = Limit(1024, "bytes", "published names stay under 200")
RANK = Limit(8, "dimensions", "no layer has more than five")
SHARDS = Limit(4096, "files", "the largest published checkpoints have a few hundred")

GGUF_HEADER = Limit(1 << 30, "bytes", "a vocabulary of a million tokens takes about 50 MB")
GGUF_KEYS = Limit(65_536, "keys", "published files have fewer than a hundred")
GGUF_KEY = Limit(65_535, "bytes", "the limit that the format itself sets")
GGUF_STRING = Limit(16 << 20, "bytes", "the longest published string, a chat template, is 100 kB")
GGUF_ARRAY = Limit(64 << 20, "elements", "the largest vocabulary has under two million entries")
GGUF_ARRAY_DEPTH = Limit(4, "levels", "no published key nests arrays")
GGUF_TENSOR_NAME = Limit(63, "bytes", "ggml keeps names in 64 bytes with a final zero")
GGUF_RANK = Limit(4, "dimensions", "ggml tensors have at most four")
GGUF_ALIGNMENT = Limit(65_536, "bytes", "published files use 32")

PICKLE_MEMBERS = Limit(1_000_000, "members", "one per tensor and a few more")
PICKLE_PROGRAM = Limit(64 << 20, "bytes", "one of 100,000 tensors takes about 20 MB")
PICKLE_GROWTH = Limit(4, "times", "tensors that share storage are written once for each name")
PICKLE_SECONDS = Limit(600, "seconds", "reading and writing the largest single pickle takes less")
