"""The declarations of an object: maps, variables, and structs that look like events."""

from __future__ import annotations

import pytest

from quarterdeck.bpf.btf import BtfError
from quarterdeck.bpf.declarations import MapDeclaration, ObjectFile
from quarterdeck.bpf.elf import ElfError
from quarterdeck.bpf.layout import layout_of
from quarterdeck.modulekit.strip import strip_debug
from tests.compiled import compile_bpf
from tests.unit.bpf.binaries import BtfBuilder, Part, elf

MAPS = """
struct key { __u32 pid; __u32 cpu; };
struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); };
struct { __uint(type, 27); __uint(max_entries, 1 << 24); } events SEC(".maps");
struct {
    __uint(type, 1); __uint(max_entries, 10240); __uint(map_flags, 1);
    __type(key, struct key); __type(value, __u64);
} counts SEC(".maps");
struct {
    __uint(type, 7); __uint(key_size, sizeof(__u32)); __uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");
struct {
    __uint(type, 13); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner);
} outer SEC(".maps");
struct inner named SEC(".maps");
"""


def test_maps_are_read_as_they_are_declared() -> None:
    file = ObjectFile(compile_bpf(MAPS))
    counts = file.maps["counts"]
    assert counts.key_type is not None
    assert [field.name for field in layout_of(file.btf, counts.key_type).fields] == ["pid", "cpu"]
    sizes = {name: (m.type, m.key_size, m.value_size, m.max_entries, m.flags) for name, m in file.maps.items()}
    assert sizes == {
        "events": (27, 0, 0, 1 << 24, 0),
        "counts": (1, 8, 8, 10240, 1),
        "stacks": (7, 4, 1016, 0, 0),
        "outer": (13, 4, 0, 4, 0),
        "named": (2, 4, 8, 1, 0),
    }
    assert file.maps["events"] == MapDeclaration(name="events", type=27, max_entries=1 << 24)


def test_numbers_of_newer_headers_are_enums() -> None:
    source = 'struct { __uint(type, 1); enum { unique = 9 } map_flags; } m SEC(".maps");'
    assert ObjectFile(compile_bpf(source)).maps["m"].flags == 9


VARIABLES = """
enum mode { OFF, ON };
struct limits { __u32 low; __u64 high; };
const volatile int target = -1;
const volatile bool verbose = 1;
const volatile enum mode mode = ON;
const volatile char command[16] = "bash";
const volatile __u64 bounds[4] = { 1, 2 };
const volatile struct limits limits = { 3, 4 };
static volatile const __u8 hidden = 5;
const int fixed = 6;
int counter = 7;
int zeroes[100];
int elsewhere SEC(".data.special") = 8;
SEC("socket") int read_all(void *context)
{
    static int calls = 3;
    calls += zeroes[target] + verbose + mode + command[calls] + bounds[calls] + limits.low + hidden + elsewhere;
    counter++;
    return calls;
}
"""


@pytest.mark.parametrize("stripped", [False, True])
def test_variables_are_found_with_their_first_bytes(stripped: bool) -> None:
    image = compile_bpf(VARIABLES)
    variables = ObjectFile(strip_debug(image) if stripped else image).variables
    values = {v.name: (v.section, int.from_bytes(v.value, "little")) for v in variables.values() if v.size <= 8}
    assert values == {
        "target": (".rodata", 0xFFFFFFFF),
        "verbose": (".rodata", 1),
        "mode": (".rodata", 1),
        "hidden": (".rodata", 5),
        "fixed": (".rodata", 6),
        "counter": (".data", 7),
        "read_all.calls": (".data", 3),
        "elsewhere": (".data.special", 8),
    }
    assert variables["command"].value == b"bash".ljust(16, b"\0")
    assert variables["bounds"].value[:16] == bytes([1, *[0] * 7, 2, *[0] * 7])
    assert (variables["zeroes"].section, variables["zeroes"].size, variables["zeroes"].value) == (".bss", 400, b"")
    settings = {name for name, variable in variables.items() if variable.is_setting}
    assert settings == {"target", "verbose", "mode", "command", "bounds", "limits", "hidden"}


def test_event_structs_are_guessed_the_likeliest_first() -> None:
    source = """
    struct wanted { int x; };
    struct scratch { int y; };
    struct close_event { int z; };
    struct bpf_perf_event_data { int w; };
    struct key { int k; };
    struct wanted *unused;
    struct { __uint(type, 6); __type(key, __u32); __type(value, struct scratch); } heap SEC(".maps");
    struct { __uint(type, 1); __type(key, struct key); __type(value, __u32); } counts SEC(".maps");
    SEC("socket") int f(struct close_event *e) { return e->z; }
    SEC("perf_event") int g(struct bpf_perf_event_data *e) { return e->w; }
    """
    assert ObjectFile(compile_bpf(source)).candidate_event_structs() == ["wanted", "close_event", "scratch"]


def test_an_object_without_types_says_what_to_do() -> None:
    with pytest.raises(BtfError, match="compile it with -g"):
        ObjectFile(compile_bpf('SEC("socket") int f(void *c) { return 0; }', "-g0"))


def test_a_program_of_this_machine_is_no_object() -> None:
    with pytest.raises(ElfError, match=r"expected an eBPF object \(machine 247\), found machine 62"):
        ObjectFile(elf(machine=62))


def test_a_variable_outside_its_section_is_named() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4)
    btf.add(15, ".rodata", vlen=1, words=(btf.add(14, "far", size=integer, words=(1,)), 8, 4))
    image = elf(Part(name=".rodata", content=bytes(10)), Part(name=".BTF", content=btf.build()))
    with pytest.raises(BtfError, match=r"variable 'far' to lie within section '.rodata', found bytes 8 to 12 of 10"):
        _ = ObjectFile(image).variables


def test_a_map_that_is_no_struct_is_named() -> None:
    with pytest.raises(BtfError, match="expected map 'm' to be declared as a struct"):
        _ = ObjectFile(compile_bpf('int m SEC(".maps");')).maps
