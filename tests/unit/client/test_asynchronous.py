from pathlib import Path

from tools.asyncify import ASYNC, write


def test_the_async_client_is_what_the_sync_one_makes(tmp_path: Path) -> None:
    write(tmp_path / "asynchronous")
    made = {path.name: path.read_text() for path in (tmp_path / "asynchronous").glob("*.py")}
    there = {path.name: path.read_text() for path in ASYNC.glob("*.py")}
    assert made == there, "run: python tools/asyncify.py"
