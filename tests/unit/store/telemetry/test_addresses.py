"""Addresses as text are what Python's ipaddress writes, with IPv4 as IPv4."""

from __future__ import annotations

from ipaddress import IPv6Address
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.store.telemetry.addresses import address_texts

PIECES = st.sampled_from([b"\0\0", b"\0\1", b"\x10\0", b"\xab\xcd", b"\0\xff"])
GROUPS = st.lists(PIECES, min_size=8, max_size=8)
MAPPED = st.binary(min_size=4, max_size=4).map(lambda last: bytes(10) + b"\xff\xff" + last)


@given(st.lists(GROUPS.map(b"".join) | MAPPED | st.binary(min_size=16, max_size=16), max_size=20))
def test_every_address_has_its_shortest_text(addresses: list[bytes]) -> None:
    offsets, texts = address_texts(np.frombuffer(b"".join(addresses), np.uint8).reshape(-1, 16))
    found = [texts[start:end].tobytes().decode() for start, end in pairwise(offsets)]
    assert found == [str(IPv6Address(each).ipv4_mapped or IPv6Address(each)) for each in addresses]
