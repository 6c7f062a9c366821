"""Any bytes are an ELF file, BTF, kallsyms or a perf map, or an error in words: never a crash, never without end."""

from __future__ import annotations

import contextlib
from io import BytesIO

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.bpf.btf import Btf
from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.elf import Elf
from quarterdeck.bpf.errors import BpfError
from quarterdeck.bpf.layout import layout_of
from quarterdeck.bpf.references import ReferenceGraph
from quarterdeck.bpf.symbols.elf_file import ElfFile
from quarterdeck.bpf.symbols.jit import parse_perf_map
from quarterdeck.bpf.symbols.kernel import read_kallsyms
from quarterdeck.bpf.symbols.process import Maps
from tests.compiled import compile_bpf

SOURCE = """
enum mode { OFF, ON };
struct inner { __u32 a : 3, b : 5; union { __u64 c; char d[8]; }; };
struct event { __u32 pid; char comm[16]; struct inner inner[3]; enum mode mode; __u8 data[]; };
struct event *unused;
const volatile __u64 bounds[4] = { 1, 2 };
int counter;
struct { __uint(type, 27); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, 1); __type(key, __u32); __type(value, struct inner); } counts SEC(".maps");
static __attribute__((noinline)) int g(int x) { return x + ++counter; }
SEC("socket") int f(void *context) { return g(bounds[counter++]) + g(3); }
struct { __uint(type, 3); __uint(max_entries, 1); __uint(key_size, 4); __array(values, int (void *)); }
jumps SEC(".maps") = { .values = { [0] = (void *)&f } };
"""


def image() -> bytes:
    return compile_bpf(SOURCE, "-gno-column-info")


def types() -> bytes:
    elf = Elf(image())
    section = elf.section(".BTF")
    assert section is not None
    return elf.content(section)


def read_types(btf: Btf) -> None:
    """Everything that can be asked of each type."""
    for type_id in range(len(btf)):
        for ask in (btf.type, btf.resolve, btf.size, btf.spell):
            with contextlib.suppress(BpfError):
                ask(type_id)
        with contextlib.suppress(BpfError):
            assert layout_of(btf, type_id).dtype().itemsize >= 0


def read_object(data: bytes) -> None:
    """Everything that can be asked of an object file."""
    with contextlib.suppress(BpfError):
        elf = Elf(data)
        with contextlib.suppress(BpfError):
            elf.build_id()
        ElfFile.read(elf).find(np.arange(0, 4096, 64, dtype=np.uint64))
        for section in elf.sections:
            with contextlib.suppress(BpfError):
                elf.content(section)
    with contextlib.suppress(BpfError):
        file = ObjectFile(data)
        for ask in (lambda: file.maps, lambda: file.variables, file.candidate_event_structs):
            with contextlib.suppress(BpfError):
                ask()
        graph = ReferenceGraph(file.elf)
        for section in file.elf.sections:
            graph.reach(section.index, 0)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with some bytes or words replaced, and perhaps cut short."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(data) - 1))
        content = draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8)])))
        data[at : at + len(content)] = content
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@given(st.binary(max_size=4096))
def test_any_bytes(data: bytes) -> None:
    read_object(data)
    read_object(b"\x7fELF\x02\x01\x01" + data)
    with contextlib.suppress(BpfError):
        read_types(Btf(data))


@given(st.binary(max_size=2048), st.binary(max_size=200))
def test_any_bytes_as_types(records: bytes, strings: bytes) -> None:
    whole = records[: len(records) // 4 * 4]
    header = b"\x9f\xeb\x01\x00" + b"".join(
        number.to_bytes(4, "little") for number in (24, 0, len(whole), len(whole), len(strings))
    )
    with contextlib.suppress(BpfError):
        read_types(Btf(header + whole + strings))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_object(data: st.DataObject) -> None:
    read_object(data.draw(damaged(image())))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_types(data: st.DataObject) -> None:
    whole = data.draw(damaged(types()))
    with contextlib.suppress(BpfError):
        read_types(Btf(whole))


@given(st.one_of(st.binary(max_size=500), st.text(alphabet="0123456789abcdef tT-rxp:[]/\n", max_size=500)))
def test_any_text_of_the_process_table(data: bytes | str) -> None:
    content = data.encode() if isinstance(data, str) else data
    addresses = np.array([0, 1 << 20, 2**64 - 1], dtype=np.uint64)
    read_kallsyms(BytesIO(content)).find(addresses)
    parse_perf_map(content).find(addresses)
    Maps.parse(content).find(addresses)
