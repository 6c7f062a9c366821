"""Searching untrusted C takes time proportional to its length."""

from __future__ import annotations

import pytest

from quarterdeck.modulekit.compile import defined_types

LONG = 4_000_000  # characters, a quarter of the largest file


@pytest.mark.parametrize(
    "part",
    [
        "struct __attribute__((",
        "struct ",
        "struct x ",
        "struct x __attribute__((",
        "typedef ",
        "union\t\t",
        "}",
        "struct x\n",
    ],
)
def test_no_source_makes_the_search_for_types_slow(part: str) -> None:
    """A search in quadratic time would take hours and block the whole process."""
    source = part * (LONG // len(part)) + "\nstruct event { int x; };\n"
    assert defined_types({"m.bpf.c": source.encode()}) == ["event"]


def test_types_are_found_with_their_attributes() -> None:
    source = b"""
    struct one { int x; };
    struct __attribute__((packed)) two
    {
    };
    union three __attribute__((aligned(8), packed)) { int x; };
    struct declared_only;
    typedef struct { int x; } nameless;
    """
    assert defined_types({"m.bpf.c": source}) == ["one", "three", "two"]
