"""How a model is opened: what verbs let their callers say of it, and what they ask the library."""

from __future__ import annotations

import argparse
from typing import Any

from fathom.cli.progress import shown_progress

_ASKED = ("dtype", "quant", "device", "allow_pickle")


def opening_arguments(
    parser: argparse.ArgumentParser, *, packing: bool = False
) -> argparse._ArgumentGroup:
    """Add a group on loading and return it; `packing` where native programs may do the work."""
    loading = parser.add_argument_group("loading")
    loading.add_argument("--dtype", help="type to compute in, such as float32 or bfloat16")
    if packing:
        loading.add_argument("--quant", help="pack weights as they are loaded: int8 or int4")
    loading.add_argument("--device", help="where to compute, such as cpu or cuda:0")
    loading.add_argument(
        "--allow-pickle", action="store_true", help="load PyTorch pickles, in a process of its own"
    )
    return loading


def pickle_argument(parser: argparse.ArgumentParser) -> None:
    """Add what a verb asks that reads headers, and no more."""
    parser.add_argument(
        "--allow-pickle", action="store_true", help="read PyTorch pickles, in a process of its own"
    )


def opening_options(args: argparse.Namespace, *, quiet: bool = False) -> dict[str, Any]:
    """Return what `library.open` is asked with, as far as the verb has arguments for it."""
    given = {name: getattr(args, name) for name in _ASKED if hasattr(args, name)}
    return {**given, "progress": shown_progress(quiet)}
