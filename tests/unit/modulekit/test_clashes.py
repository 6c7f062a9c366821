"""Kernel names that a program also defines are renamed where the compiler reports them."""

from __future__ import annotations

from quarterdeck.modulekit.clashes import rename_clashes

HEADER = """struct key {
	int a;
};

enum {
	PASS = 0,
	DROP = 1,
};

typedef struct config_s config;

struct user {
	struct key *key;
	const config *chosen;
	u64 config;
	struct keyring *ring;
};
"""


def said(line: int, column: int) -> str:
    return f"p.c:1:1: error: redefinition\n/x/vmlinux.h:{line}:{column}: note: previous definition is here\n"


def test_a_struct_and_what_points_to_it() -> None:
    text = rename_clashes(HEADER, said(1, 8))
    assert text is not None
    assert "struct key___kernel {" in text
    assert "struct key___kernel *key;" in text
    assert "struct keyring *ring;" in text


def test_an_enumerator_only_where_it_stands() -> None:
    text = rename_clashes(HEADER, said(7, 2))
    assert text == HEADER.replace("DROP", "DROP___kernel")


def test_a_typedef_but_no_member_of_its_name() -> None:
    text = rename_clashes(HEADER, said(10, 25))
    assert text is not None
    assert "typedef struct config_s config___kernel;" in text
    assert "const config___kernel *chosen;" in text
    assert "u64 config;" in text


def test_other_errors_are_not_its_business() -> None:
    assert rename_clashes(HEADER, "p.c:1:1: error: expected ';'") is None
    assert rename_clashes(HEADER, said(4000, 1)) is None
