"""What it costs a decoder to read a prompt, whatever stands in it, and to write on."""

from __future__ import annotations

from fathom.spec.decoder import Decoder
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.vision import layers_live
from fathom.spec.work import Stage, passing

PIECE = 512  # tokens of each row that one pass reads of a long prompt
USUAL_TOKENS, USUAL_WRITTEN = 64, 128  # of a question about a picture or sound, and its answer


def writing_stages(decoder: Decoder, batch: int, read: int, written: int) -> tuple[Stage, Stage]:
    """Return two: reading prompts of `read` tokens, and writing `written` more, one at a time."""
    layers = decoder.layers
    pieces = max(1, -(-read // PIECE))
    kept = sum(array.elements for layer in layers for array in layer.state(read + written))
    return (
        Stage(
            "reading",
            decoder,
            _operations(decoder, batch, read),
            live=layers_live(layers, batch * read),
            kept=batch * kept,
            rows=-(-batch * read // pieces),
            turns=pieces,
        ),
        Stage(
            "writing",
            decoder,
            _operations(decoder, batch, 1, before=read + written // 2),
            passes=written,
            rows=batch,
            attended=batch * sum(layer.operations(read + written // 2) for layer in layers),
        ),
    )


def _operations(decoder: Decoder, batch: int, length: int, before: int = 0) -> int:
    """Return the operations of `length` more tokens in each row, and of the scores of one."""
    rows = batch * length
    seen = before + (length + 1) // 2  # half of one's own prompt, on average
    layers = sum(passing(one, rows) + rows * one.operations(seen) for one in decoder.layers)
    return layers + passing(Linear(decoder.width, decoder.vocabulary, Role.HEAD), batch)
