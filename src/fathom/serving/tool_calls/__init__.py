"""Calls of tools in what a model writes: found by its family's manner, read, asked for by force."""

from fathom.serving.tool_calls.families import FAMILIES, Family, family_of
from fathom.serving.tool_calls.forcing import forced, specials
from fathom.serving.tool_calls.reader import CallReader

__all__ = ["FAMILIES", "CallReader", "Family", "family_of", "forced", "specials"]
