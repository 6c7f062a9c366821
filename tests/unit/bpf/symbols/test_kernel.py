"""The text of /proc/kallsyms."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from quarterdeck.bpf.symbols.kernel import read_kallsyms

KALLSYMS = b"""ffffffff81000000 T _stext
ffffffff81000040 t do_one
ffffffff81000060 d some_table
ffffffff81000080 W do_two
ffffffff81000080 T do_two_alias
ffffffffc0000000 t nft_do_chain\t[nf_tables]
ffffffffc0000100 t bpf_prog_6deef7357e7b4530\t[bpf]
"""


def find(content: bytes, *addresses: int) -> list[str | None]:
    return read_kallsyms(BytesIO(content)).find(np.array(addresses, dtype=np.uint64))


def test_functions_are_found_and_data_is_not() -> None:
    assert find(KALLSYMS, 0xFFFFFFFF81000000, 0xFFFFFFFF8100005F, 0xFFFFFFFF81000070) == ["_stext", "do_one", "do_one"]
    assert find(KALLSYMS, 0xFFFFFFFF81000080, 0xFFFFFFFFC0000001) == ["do_two", "nft_do_chain [nf_tables]"]
    assert find(KALLSYMS, 0xFFFFFFFFC0000180) == ["bpf_prog_6deef7357e7b4530 [bpf]"]


def test_the_gap_between_kernel_and_modules_is_nobodys() -> None:
    assert find(KALLSYMS, 0xFFFFFFFF81100080, 0, 0xFFFFFFFFFFFFFFFF) == [None, None, None]


def test_hidden_addresses_name_nothing() -> None:
    assert len(read_kallsyms(BytesIO(b"0000000000000000 T _stext\n0000000000000000 t do_one\n"))) == 0


def test_what_is_no_symbol_is_passed_over() -> None:
    assert len(read_kallsyms(BytesIO(b""))) == 0
    assert len(read_kallsyms(BytesIO(b"\n\nshort\n" + KALLSYMS + b"ffffffffd0000000 t cut short"))) == 5
