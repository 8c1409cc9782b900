"""The page on serving has the endpoints and bounds that there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_on_serving_is_generated_from_what_is_served() -> None:
    """`python benchmarks/serve.py --page` renews it."""
    place = ROOT / "benchmarks" / "serve_page.py"
    spec = importlib.util.spec_from_file_location("serve_page", place)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    for part in (page.endpoints(), page.bounds()):
        rows = list(part)
        assert len(rows) > 10
        assert "\n".join(rows) in text
