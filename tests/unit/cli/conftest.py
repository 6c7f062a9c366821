from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from quarterdeck.cli import arguments, main

#: calls `qd` with a fake client and these arguments; returns the exit code
CallQd = Callable[..., int]


@pytest.fixture
def call_qd(monkeypatch: pytest.MonkeyPatch) -> CallQd:
    def call(client: Any, *words: str) -> int:
        monkeypatch.setattr(arguments.Endpoint, "find", lambda: None)
        monkeypatch.setattr(arguments, "Client", lambda *_, **__: nullcontext(client))
        monkeypatch.setattr(sys, "argv", ["qd", *words])
        try:
            main.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call
