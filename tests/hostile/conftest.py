"""One process to fork attempts from, for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hostile.runner import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(tmp_path_factory.mktemp("hostile")) as found:
        yield found
