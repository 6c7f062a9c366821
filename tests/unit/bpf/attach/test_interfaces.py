"""Which interfaces a program of the kinds `tc`, `tcx` and `xdp` is attached to."""

from __future__ import annotations

import pytest

from quarterdeck.bpf.attach.interfaces import chosen
from quarterdeck.bpf.errors import NotAttachable


def names(name: str) -> list[str]:
    """Return the chosen interfaces; none where none is up."""
    try:
        return [each for each, _ in chosen(name)]
    except NotAttachable:
        if name:
            raise
        return []


def test_loopback_is_chosen_by_name_alone() -> None:
    assert names("lo") == ["lo"]
    assert "lo" not in names("")


def test_an_interface_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotAttachable, match=r"no interface 'eth99' here; there are: .*\blo\b"):
        chosen("eth99")
