"""A tally of its own for each test, on one engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quarterdeck.agent.stats.tally import Tally
from quarterdeck.wasm.engine import Engine


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def tally(engine: Engine) -> Tally:
    return Tally(engine)
