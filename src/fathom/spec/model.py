"""Any model: what opening, planning and explaining take."""

from __future__ import annotations

from typing import TypeAlias

from fathom.errors import UnsupportedTaskError
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.speech import Speech
from fathom.spec.work import Staged

Layered: TypeAlias = Decoder | Encoder  # one stack of layers over an embedding
Writing: TypeAlias = EncoderDecoder | Speech  # a decoder that looks at what was read or heard
TextModel: TypeAlias = Layered | EncoderDecoder
Model: TypeAlias = TextModel | Staged


def text_model(spec: Model) -> TextModel:
    """Return the spec of a text model as one.

    Raises:
        UnsupportedTaskError: for a model of pictures, sound or puzzles.
    """
    if isinstance(spec, Decoder | Encoder | EncoderDecoder):
        return spec
    about = spec.about
    raise UnsupportedTaskError(
        f"this is asked of text models only; the class of this one is {about.model_class}"
        f" ({about.rule}), and it can {', '.join(about.tasks)}"
    )
