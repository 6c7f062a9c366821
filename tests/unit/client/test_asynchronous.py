from pathlib import Path

from quarterdeck.client import asynchronous, synchronous
from tools.asyncify import asyncify


def test_the_async_client_is_what_the_sync_one_makes() -> None:
    sync_source = Path(synchronous.__file__).read_text()
    assert asyncify(sync_source) == Path(asynchronous.__file__).read_text(), "run: python tools/asyncify.py"
