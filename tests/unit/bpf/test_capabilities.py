"""The message about the capabilities that a process lacks."""

from __future__ import annotations

import pytest

from quarterdeck.bpf import capabilities
from quarterdeck.bpf.capabilities import missing_for_loading


@pytest.mark.parametrize(
    ("has", "missing"),
    [
        ({}, "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"),
        ({"CAP_BPF", "CAP_NET_ADMIN"}, "CAP_PERFMON"),
        ({"CAP_SYS_ADMIN"}, ""),
        ({"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"}, ""),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, has: set[str], missing: str) -> None:
    monkeypatch.setattr(capabilities, "held", lambda: frozenset(has))
    assert missing_for_loading() == missing
