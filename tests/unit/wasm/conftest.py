from __future__ import annotations

from collections.abc import Iterator

import pytest

from quarterdeck.wasm.engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()
