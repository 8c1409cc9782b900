"""Any text model: what opening, planning and explaining take."""

from __future__ import annotations

from typing import TypeAlias

from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder

Model: TypeAlias = Decoder | Encoder | EncoderDecoder
