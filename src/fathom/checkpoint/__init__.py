"""Bytes on disk ↔ named tensors: where weights come from, formats, encodings, name rules."""
