"""Real weights for real tests: fetched once, as a user would fetch them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Workers share the cores: threads of each that wait in a loop for cores would take them from the
# others, and the tests three times as long. Set here, for torch reads it when it is imported.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


@pytest.fixture(scope="session", autouse=True)
def measurements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of measurements of the tests' own: what a machine learnt before changes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("FATHOM_DATA", str(folder))
        yield folder


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct (Q4_1, 98 MB)."""
    from fathom import library

    return library.locate("smollm2:135m").path


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """Return the folder of all-MiniLM-L6-v2 (91 MB)."""
    from fathom import library

    return library.locate("minilm:l6").path


@pytest.fixture(scope="session")
def wikitext() -> str:
    """Return the test split of WikiText-2, where it lies beside the checkout."""
    name = "shared/data/wikitext-2/test.txt"
    for folder in Path(__file__).resolve().parents:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    pytest.skip(f"{name} is not beside this checkout")
