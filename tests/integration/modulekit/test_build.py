"""What goes wrong in a module is said in its author's words; what is right is complete."""

from __future__ import annotations

import hashlib
import platform

import pytest

from quarterdeck.model.errors import BadInput, BadManifest, BadProgram, BadSetting, BadTransform
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.settings import check_settings
from tests.integration.modulekit.conftest import HEADERS, Make

TABLE = '[[table]]\nname = "rows"\nfrom = "events"\nrow = "event"\n'
RING = """
struct event { u32 pid; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
#define OF_NUMBERS __uint(max_entries, 8); __type(key, u32); __type(value, u64)
struct { __uint(type, BPF_MAP_TYPE_HASH); OF_NUMBERS; } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); OF_NUMBERS; } slots SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 8); __type(value, u64); } queue SEC(".maps");
const volatile int target = 1;
u64 total;
SEC("raw_tp/sys_enter") int entered(void *ctx)
{ struct event e = { .pid = target }; total++; bpf_ringbuf_output(&events, &e, sizeof(e), 0); return 0; }
"""


def test_artefacts_are_named_by_their_content(make: Make) -> None:
    built = make(TABLE, RING)
    assert {hashlib.sha256(content).hexdigest() for content in built.artefacts.values()} == set(built.artefacts)
    assert built.build.object.sha256 in built.artefacts
    assert built.build.programs == ("entered",)


def test_a_manifest_change_is_another_version(make: Make) -> None:
    assert make(TABLE, RING).build.digest != make(TABLE + 'retention = "1d"\n', RING).build.digest


def test_the_object_is_small_and_keeps_no_path_of_the_machine(make: Make) -> None:
    built = make(TABLE, RING)
    image = built.artefacts[built.build.object.sha256]
    assert len(image) < 20_000
    assert b"/tmp" not in image
    assert b"/home" not in image
    assert b".debug_info" in image  # the empty section's name; its content is gone


MISTAKES = {
    "map": (
        TABLE.replace('"events"', '"evnts"'),
        RING,
        ["no map and no global variable 'evnts'", "Did you mean 'events'?"],
    ),
    "queue": (TABLE.replace('"events"', '"queue"'), RING, ["map 'queue' is of type QUEUE", "RINGBUF"]),
    "mixed": (TABLE.replace('"events"', '["events", "counts"]'), RING, ["events and counts", "read differently"]),
    "struct": (TABLE.replace('"event"', '"evnt"'), RING, ["struct 'evnt', which the program lacks", "'event'"]),
    "drain": (
        '[[table]]\nname = "a"\nfrom = "slots"\nread = "drain"\n',
        RING,
        ["an array's entries cannot be deleted"],
    ),
    "value": ('[[table]]\nname = "a"\nfrom = "counts"\nvalue = "event"\n', RING, ["has 4 bytes", "have 8"]),
    "column": (TABLE + '[table.columns.pdi]\nunit = "x"\n', RING, ["'pdi'", "no such column", "Did you mean 'pid'?"]),
    "type": (
        TABLE + '[table.columns.pid]\ntype = "ipv6"\n',
        RING,
        ["a uint32 of 4 bytes, which cannot be read as ipv6"],
    ),
    "stack": (TABLE + '[table.columns.pid]\nstack = "stacks"\n', RING, ["expected a stack-trace map", "'stacks'"]),
    "inline": (TABLE + '[table.columns.pid]\nstack = "inline"\n', RING, ["an array of 8-byte addresses"]),
    "histogram": (TABLE + '[table.columns.pid]\nhistogram = "log2"\n', RING, ["only a list can be a histogram"]),
    "order": (TABLE + 'order = ["nid", "uid"]\n', RING, ["order names a column that is not there"]),
    "probe": (TABLE + '[[probe]]\nprogram = "enterd"\nkind = "raw_tp"\ntarget = "sys_enter"\n', RING, ["'entered'?"]),
    "alternatives": ('alternatives = [[["a"], ["entered"]]]\n' + TABLE, RING, ["alternatives names program 'a'"]),
    "disabled": ('disabled = ["b"]\n' + TABLE, RING, ["disabled names program 'b'"]),
    "maps": ("[maps.cuonts]\nmax_entries = 3\n" + TABLE, RING, ["no such map", "'counts'"]),
    "depth": ("[maps.counts]\ndepth = 3\n" + TABLE, RING, ["depth is for stack-trace maps", "HASH"]),
    "setting": (
        '[settings.tagret]\ndescription = ""\n' + TABLE,
        RING,
        ["no global variable 'tagret' that can be set", "'target'"],
    ),
    "default": ('[settings.target]\ndefault = "x"\n' + TABLE, RING, ["default of Setting 'target'", "a whole number"]),
    "transform": (TABLE + 'transform = "x.wasm"\n', RING, ["transform 'x.wasm' is not in the module's folder"]),
    "program": ('program = "n.bpf.c"\n' + TABLE, RING, ["program 'n.bpf.c' is not in the module's folder", "m.bpf.c"]),
    "aimless": (TABLE, RING.replace("raw_tp/sys_enter", "uprobe"), ["no place to attach", "[[probe]]"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_says_which_reference_is_wrong(mistake: str, make: Make) -> None:
    manifest, source, parts = MISTAKES[mistake]
    with pytest.raises(BadManifest) as caught:
        make(manifest, source)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_shows_the_compilers_own_lines(make: Make) -> None:
    with pytest.raises(BadProgram) as caught:
        make(TABLE, RING + "int broken(void)\n{ return undeclared_thing; }\n")
    assert "m.bpf.c:" in caught.value.message
    assert "undeclared_thing" in caught.value.message
    assert not any(line.startswith("/") for line in caught.value.lines)


def test_says_what_to_do_about_a_missing_header(make: Make) -> None:
    with pytest.raises(BadProgram, match=r"Put missing\.h into the module's folder"):
        make(TABLE, '#include "missing.h"\n' + RING)


def test_says_what_to_do_about_another_kernels_member(make: Make) -> None:
    source = RING + "long gone(struct task_struct *t) { return t->no_such_member; }\n"
    with pytest.raises(
        BadProgram, match=r"'no_such_member' of struct task_struct belongs to another kernel.*task_struct___old"
    ):
        make(TABLE, source)


def test_wants_a_program() -> None:
    with pytest.raises(BadManifest, match=r"no m\.bpf\.c in the module"):
        build_module({"module.toml": b'name = "m"\n' + TABLE.encode()})


def test_wants_a_function_that_can_run(make: Make) -> None:
    with pytest.raises(BadProgram, match="holds no program"):
        make(TABLE, RING.replace('SEC("raw_tp/sys_enter")', ""))


def _prebuilt(image: bytes) -> None:
    build_module({"module.toml": b'name = "m"\n' + TABLE.encode(), "m.bpf.o": image})


def test_says_why_an_object_cannot_be_used(make: Make) -> None:
    built = make(TABLE, RING)
    image = built.artefacts[built.build.object.sha256]
    without_btf = image.replace(b".BTF\0", b".BTX\0")
    damaged = {
        "expected an ELF file": b"not an object",
        "cut short": image[:-100],
        "found 64 bytes|cut short|only": image[:63],
        "big-endian": image[:5] + b"\x02" + image[6:],
        "machine 62": image[:18] + (62).to_bytes(2, "little") + image[20:],
        "no .BTF section: compile it with -g": without_btf,
        "an ELF": b"",
    }
    for said, content in damaged.items():
        with pytest.raises(BadProgram, match=said):
            _prebuilt(content)


def test_a_prebuilt_object_works_and_says_what_it_cannot_count(make: Make) -> None:
    built = make(TABLE, RING, headers="#define QD_NO_LOSSES\n" + HEADERS)
    image = built.artefacts[built.build.object.sha256]
    again = build_module({"module.toml": b'name = "m"\n' + TABLE.encode(), "m.bpf.o": image})
    assert again.build.sources == built.build.sources
    assert "not compiled by Quarterdeck" in again.build.warnings[0]


def test_a_prebuilt_object_must_keep_its_row(make: Make) -> None:
    image = make('[[table]]\nname = "a"\nfrom = "counts"\n', RING)
    content = image.artefacts[image.build.object.sha256].replace(b"event\0", b"evenX\0")
    with pytest.raises(BadManifest, match=r"declare `struct event \*unused;`"):
        _prebuilt(content)


def test_a_transform_is_checked(make: Make) -> None:
    with pytest.raises(BadTransform, match=r"t\.wasm"):
        make(TABLE + 'transform = "t.wasm"\n', RING, t__wasm=b"\0asm\1\0\0\0")
    wrong_size = b"""#include "quarterdeck.h"
struct e { u64 a, b; };
QD_TABLE((u64, a))
QD_TRANSFORM(struct e, e) { QD_ROW(.a = 1); }
"""
    with pytest.raises(BadTransform, match="gives records of 4 bytes"):
        make(TABLE + 'transform = "t.wasm.c"\n', RING, t__wasm__c=wrong_size)
    with pytest.raises(BadTransform, match=r"does not compile: t\.wasm\.c"):
        make(TABLE + 'transform = "t.wasm.c"\n', RING, t__wasm__c=b"int x = ;")


def test_settings_of_a_build_are_checked_by_name_and_type(make: Make) -> None:
    settings = make(TABLE, RING).build.settings
    check_settings(settings, {"target": -7})
    with pytest.raises(BadSetting, match="a whole number"):
        check_settings(settings, {"target": "seven"})


def test_a_row_may_be_a_number(make: Make) -> None:
    source = make('[[table]]\nname = "a"\nfrom = "events"\nrow = "u32"\n', RING).build.sources[0]
    assert [column.name for column in source.table.columns] == ["time", "value"]


def test_every_mistake_of_input_is_bad_input() -> None:
    with pytest.raises(BadInput):
        build_module({})


def test_a_vmlinux_of_each_architecture_is_found(make: Make) -> None:
    other = b"#error the headers of another architecture\n"
    own = b'#include "vmlinux_600.h"\n'
    types = (
        b"typedef unsigned int u32;\ntypedef unsigned long long u64, __u64;\ntypedef unsigned u32_t, __u32, __wsum;\n"
    )
    types += (
        b"typedef unsigned short __u16, __be16; typedef unsigned __be32; typedef long long __s64; typedef int __s32;\n"
    )
    types += b"typedef unsigned char __u8;\n#define __VMLINUX_H__\nenum { BPF_MAP_TYPE_ARRAY = 2, BPF_ANY = 0 };\n"
    source = """#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
u64 total;
SEC("raw_tp/sys_enter") int entered(void *ctx) { total++; return 0; }
"""
    here, elsewhere = ("x86", "arm64") if platform.machine() == "x86_64" else ("arm64", "x86")
    files = {f"{here}/vmlinux.h": own, f"{here}/vmlinux_600.h": types, f"{elsewhere}/vmlinux.h": other}
    built = build_module(
        {"module.toml": b'name = "m"\n[[table]]\nname = "a"\nfrom = "total"\n', "m.bpf.c": source.encode(), **files}
    )
    assert built.build.programs == ("entered",)


def _kind(number: int, name: str) -> tuple[str, str, str]:
    """(a table, its ring and struct, a statement that sends a record) of one kind of records."""
    table = f'[[table]]\nname = "t{number}"\nfrom = "ring_{number}"\nrow = "{name}"\n'
    ring = "struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); }"
    types = f'struct {name} {{ u32 member_{number}; }};\n{ring} ring_{number} SEC(".maps");\n'
    send = f"{{ struct {name} e = {{ 1 }}; bpf_ringbuf_output(&ring_{number}, &e, sizeof(e), 0); }}\n"
    return table, types, send


@pytest.mark.parametrize("ending", ["event", "data", "info", "record"])
def test_a_module_may_have_many_kinds_of_records(ending: str, make: Make) -> None:
    """Each is kept in the object's types, though no function of eBPF has more than five parameters."""
    tables, types, sends = zip(*(_kind(number, f"kind_{number}_{ending}") for number in range(12)), strict=True)
    program = f'SEC("raw_tp/sys_enter") int entered(void *c) {{ {"".join(sends)} return 0; }}'
    source = "".join(types) + program
    built = make("".join(tables), source)
    columns = [[column.name for column in source.table.columns] for source in built.build.sources]
    assert columns == [["time", f"member_{number}"] for number in range(12)]
    assert make(tables[7], source).build.sources[0].record_size == 4


KINDS = """
enum kind { OPEN = 1, CLOSE };
struct open_event { enum kind kind; u32 flags; float weight; };
struct close_event { enum kind kind; u8 fd; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } others SEC(".maps");
#define OF_NUMBERS __uint(max_entries, 8); __type(key, u32); __type(value, u64)
struct { __uint(type, BPF_MAP_TYPE_HASH); OF_NUMBERS; } counts SEC(".maps");
SEC("raw_tp/sys_enter") int entered(void *ctx)
{ struct open_event e = { OPEN }; bpf_ringbuf_output(&events, &e, sizeof(e), 0); return 0; }
"""
OPENS = '[[table]]\nname = "opens"\nfrom = "events"\nrow = "open_event"\n'
CLOSES = '[[table]]\nname = "closes"\nfrom = "events"\nrow = "close_event"\n'
SHARED_WRONGLY = {
    "nothing said": (OPENS, CLOSES, ["'opens' and 'closes' are both filled from 'events'", "when = { kind = 1 }"]),
    "said in one": (OPENS + "when = { kind = 1 }\n", CLOSES, ["nothing distinguishes their records"]),
    "said of a map": ('[[table]]\nname = "c"\nfrom = "counts"\nwhen = { key = 1 }\n', "", ["when is for records"]),
    "no such member": (OPENS + "when = { knid = 1 }\n", "", ["when.knid", "lacks", "'kind'"]),
    "no number": (OPENS + "when = { weight = 1 }\n", "", ["when.weight", "no whole number"]),
    "no such name": (OPENS + 'when = { kind = "OPNE" }\n', "", ["'OPNE'", "Did you mean 'OPEN'?"]),
    "too large": (CLOSES + "when = { fd = 256 }\n", "", ["has 256, which 1 bytes do not hold"]),
    "no value": (OPENS + "when = { kind = [] }\n", "", ["when.kind has no value"]),
    "other buffers": (
        OPENS + "when = { kind = 1 }\n",
        CLOSES.replace('"events"', '["events", "others"]') + "when = { kind = 2 }\n",
        ["both filled from 'events'", "one from more"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", SHARED_WRONGLY)
def test_tables_of_one_buffer_must_say_which_records_are_theirs(mistake: str, make: Make) -> None:
    first, second, words = SHARED_WRONGLY[mistake]
    with pytest.raises(BadManifest) as caught:
        make(first + second, KINDS)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_maps_of_the_old_kind_are_told_how_to_become_new(make: Make) -> None:
    legacy = """
struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
struct bpf_map_def SEC("maps") counts = { BPF_MAP_TYPE_HASH, 4, 8, 1024, 0 };
SEC("raw_tp/sys_enter") int entered(void *ctx) { u32 key = 1; bpf_map_lookup_elem(&counts, &key); return 0; }
"""
    with pytest.raises(BadProgram, match=r"SEC\(\"maps\"\) and struct bpf_map_def") as caught:
        make('[[table]]\nname = "c"\nfrom = "counts"\n', legacy)
    assert 'NAME SEC(".maps")' in caught.value.hint


def test_a_program_that_only_prints_is_told_to_send(make: Make) -> None:
    prints = 'SEC("raw_tp/sys_enter") int entered(void *ctx) { bpf_printk("called"); return 0; }'
    with pytest.raises(BadManifest, match="no map and no global variable 'events'") as caught:
        make(TABLE, prints)
    assert "bpf_printk, which no table can read" in caught.value.hint


@pytest.mark.parametrize(
    ("section", "kind", "more"),
    [
        ("kprobe", "tracepoint", 'target = "sched:sched_switch"'),
        ("tracepoint/sched/sched_switch", "raw_tp", 'target = "sched_switch"'),
        ("raw_tp/sys_enter", "fentry", 'target = "vfs_read"'),
        ("tp_btf/sched_switch", "kprobe", 'target = "vfs_read"'),
        ("fentry/vfs_read", "uprobe", 'binary = "libc.so.6"\ntarget = "getpid"'),
        ("perf_event", "tc", ""),
        ("tcx/ingress", "xdp", ""),
        ("xdp", "tc", ""),
        ("uprobe.multi", "perf_event", "frequency = 99"),
    ],
)
def test_a_probe_that_cannot_attach_its_program_is_refused(section: str, kind: str, more: str, make: Make) -> None:
    source = RING.replace('SEC("raw_tp/sys_enter")', f'SEC("{section}")')
    with pytest.raises(BadManifest) as caught:
        make(f'{TABLE}[[probe]]\nprogram = "entered"\nkind = "{kind}"\n{more}\n', source)
    assert f"a {kind} probe cannot attach 'entered', which is SEC(\"{section}\")" in caught.value.message
    assert "Probes of these kinds can: " in caught.value.hint


@pytest.mark.parametrize(
    ("section", "kind", "more"),
    [
        ("kprobe", "uprobe", 'binary = "libc.so.6"\ntarget = "getpid"'),
        ("fentry/vfs_read", "fexit", 'target = "vfs_read"'),
        ("classifier", "tc", ""),
        ("tp/sched/sched_switch", "tracepoint", 'target = "sched:sched_wakeup"'),
        ("socket", "socket_filter", ""),
        ("cgroup_skb/ingress", "cgroup", ""),
        ("mine", "kprobe", 'target = "vfs_read"'),
    ],
)
def test_a_probe_that_can_attach_its_program_is_taken(section: str, kind: str, more: str, make: Make) -> None:
    source = RING.replace('SEC("raw_tp/sys_enter")', f'SEC("{section}")')
    made = make(f'{TABLE}[[probe]]\nprogram = "entered"\nkind = "{kind}"\n{more}\n', source)
    assert made.build.programs == ("entered",)
