"""Foreign WebAssembly: whatever the bytes are, the host answers with its own errors and lives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.wasm.check import check
from quarterdeck.wasm.description import Layout, parse_description
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import InvalidGuest, WasmError
from quarterdeck.wasm.instance import Limits
from quarterdeck.wasm.transform import Transform
from tests.unit.wasm.guests import MISCHIEF, PIDS, compiled, from_page, from_wat, ring

ENGINE = Engine()
LIMITS = Limits(memory_bytes=4 * 1024 * 1024, time_s=0.05)
GUESTS = st.sampled_from([compiled(PIDS), compiled(MISCHIEF), from_wat(from_page("wat"))])


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_refused(noise: bytes, header: bool) -> None:
    try:
        check(b"\0asm\1\0\0\0" * header + noise, engine=ENGINE, limits=LIMITS)
    except InvalidGuest:
        return
    raise AssertionError("random bytes became a transform")


@settings(deadline=None, max_examples=400)
@given(GUESTS, st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_mutated_guest_is_refused_or_run_within_its_limits(wasm: bytes, changes: list[tuple[float, int]]) -> None:
    mutated = bytearray(wasm)
    for place, byte in changes:
        mutated[int(place * len(mutated))] = byte
    span = ring([bytes([index]) * 32 for index in range(40)])
    try:
        transform = Transform.load(ENGINE, bytes(mutated), layout=Layout.RING, limits=LIMITS)
        for output in transform.run_buffer(span):
            assert 0 < output.consumed <= len(span)
            for values in output.columns.values():
                parts = values if isinstance(values, tuple) else (values,)
                assert all(part.sum() is not None for part in parts), "every byte is readable"
    except WasmError:
        pass


@settings(deadline=None, max_examples=200)
@given(GUESTS, st.floats(0, 1))
def test_a_truncated_guest_is_refused(wasm: bytes, share: float) -> None:
    try:
        check(wasm[: int(share * (len(wasm) - 1))], engine=ENGINE, limits=LIMITS)
    except InvalidGuest:
        return
    # what follows the code is not needed to run it
    assert share * (len(wasm) - 1) > len(wasm) / 2


LINE = st.one_of(
    st.text(max_size=30),
    st.tuples(
        st.sampled_from(["abi", "record", "payload", "entry", "layout", "column", "setting"]),
        st.lists(st.sampled_from(["1", "8", "0", "uint64", "string", "list<int8>", "ring", "name", ""]), max_size=4),
    ).map(lambda parts: " ".join([parts[0], *parts[1]])),
)


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.binary(max_size=200), st.lists(LINE, max_size=8).map(lambda lines: "\n".join(lines).encode())))
def test_a_description_is_read_or_refused(text: bytes) -> None:
    try:
        description = parse_description(text)
    except InvalidGuest:
        return
    assert description.columns
    assert description.input.layouts
