"""What all tests share: real weights, fetched once, and a process that stays as it was."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

# What fails, fails every time: the same examples wherever the suite runs, and no limit on their
# time, for a machine may be busy. `--hypothesis-profile=default` looks for new ones.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Workers share the cores: threads of each that wait in a loop for cores would take them from the
# others, and the tests three times as long. Set here, for torch reads it when it is imported.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> None:
    """Have chance begin anew for each fixture: what it draws hangs on its name, and on no order."""
    _seed(fixturedef.argname)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Have chance begin anew for each test, whatever ran before in this process."""
    _seed(item.nodeid)


def _seed(name: str) -> None:
    seed = crc32(name.encode())
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put back what verbs and models set for a whole process: threads, types, levels of the log."""
    root, ours = logging.getLogger(), logging.getLogger("fathom.serving")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    torch = sys.modules.get("torch")
    chosen = (torch.get_num_threads(), torch.get_default_dtype()) if torch else None
    try:
        return (yield)
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        if torch and chosen != (torch.get_num_threads(), torch.get_default_dtype()):
            torch.set_num_threads(chosen[0])
            torch.set_default_dtype(chosen[1])


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
