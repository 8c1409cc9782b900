"""Sizes of the published configurations, computed through the spec.

python tests/catalog/sizes.py      # writes src/fathom/catalog/sizes.toml
"""

from __future__ import annotations

from pathlib import Path

from fathom.catalog import facts
from fathom.catalog.models import configuration
from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.spec.decoder import Decoder
from fathom.spec.model import Model
from fathom.spec.parts import active, count

FILE = Path(__file__).resolve().parents[2] / "src/fathom/catalog/sizes.toml"
HEAD = """\
# Parameters of the configurations in configs.toml, computed through the spec: all of them, and
# those that one token passes. Written by `python tests/catalog/sizes.py`; do not edit.
"""


def read(name: str) -> Model:
    """Return the spec of a configuration."""
    config = configuration(name)
    return find(str(config["model_type"])).read(Config(config))


def text() -> str:
    """Return what the file should say."""
    lines = [HEAD]
    for name in facts.entries("configs.toml"):
        spec = read(name)
        total = count(spec)
        passed = active(spec) if isinstance(spec, Decoder) else total
        key = name if name.replace("-", "").isalnum() else f'"{name}"'
        lines.append(f"{key} = {{ total = {total:_}, active = {passed:_} }}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
