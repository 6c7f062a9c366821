"""Which struct a buffer's records are follows from what the program sends, not from names alone."""

from __future__ import annotations

import pytest

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.modules import Build
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.sends import sent_sizes
from quarterdeck.testing.module_run import ModuleRun
from tests.integration.modulekit.conftest import HEADERS, Make

PLAIN = "#define QD_NO_LOSSES\n" + HEADERS
TABLE = '[[table]]\nname = "rows"\nfrom = "events"\n'
MAPS = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
    samples SEC(".maps");
struct conn { u64 bytes; u32 pid; u16 port; u64 last; };
struct scratch { char text[200]; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32);
    __type(value, struct scratch); } heap SEC(".maps");
"""
SENDING = 'SEC("raw_tp/sys_enter") int entered(void *ctx) { struct conn c = { 1 }; %s return 0; }'
OUTPUT = "bpf_ringbuf_output(&events, &c, sizeof(c), 0);"


def prebuilt(make: Make, manifest: str, source: str) -> Build:
    """The build of an object that somebody else compiled of `source`."""
    image = next(iter(make('[[table]]\nname = "rows"\nfrom = "heap"\n', source, headers=PLAIN).artefacts.values()))
    return build_module({"module.toml": f'name = "m"\n{manifest}'.encode(), "m.bpf.o": image}).build


@pytest.mark.parametrize(
    ("send", "sizes"),
    [
        (OUTPUT, {"events": {24}}),
        ("void *e = bpf_ringbuf_reserve(&events, 48, 0); if (e) bpf_ringbuf_submit(e, 0);", {"events": {48}}),
        ("bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &c, 20);", {"samples": {20}}),
        (f"{OUTPUT} bpf_ringbuf_output(&events, &c, 8, 0);", {"events": {8, 24}}),
        ("bpf_ringbuf_output(&events, &c, bpf_get_prandom_u32() & 7, 0);", {}),
        (f"{OUTPUT} bpf_ringbuf_output(&events, &c, bpf_get_prandom_u32() & 7, 0);", {}),
        ("bpf_get_prandom_u32();", {}),
    ],
)  # fmt: skip
def test_sizes_are_read_from_the_instructions(send: str, sizes: dict[str, set[int]], make: Make) -> None:
    built = make('[[table]]\nname = "rows"\nfrom = "heap"\n', MAPS + SENDING % send, headers=PLAIN)
    (image,) = built.artefacts.values()
    assert sent_sizes(ObjectFile(image)) == sizes


@pytest.mark.parametrize("kept", ["struct scratch_event *unused;", "struct task_struct *unused;", ""])
def test_no_struct_is_taken_that_the_records_cannot_be(kept: str, make: Make) -> None:
    source = MAPS + "struct scratch_event { char text[100]; };\n" + kept + SENDING % OUTPUT
    with pytest.raises(BadManifest, match=r"which C struct the records of 'events' \(24 bytes\) are"):
        prebuilt(make, TABLE, source)


def test_of_two_structs_the_one_is_taken_that_the_records_are(make: Make) -> None:
    source = MAPS + "struct conn *unused; struct task_struct *also;" + SENDING % OUTPUT
    build = prebuilt(make, TABLE, source)
    assert [column.name for column in build.sources[0].table.columns] == ["time", "bytes", "pid", "port", "last"]
    assert not [warning for warning in build.warnings if "taken as" in warning]


@pytest.mark.parametrize("row", ["task_struct", "scratch_event"])
def test_a_named_struct_that_is_larger_than_every_record_is_refused(row: str, make: Make) -> None:
    source = (
        MAPS + "struct scratch_event { u64 numbers[8]; u32 last; } *own; struct task_struct *unused;" + SENDING % OUTPUT
    )
    with pytest.raises(BadManifest, match=rf"row '{row}' has \d+ bytes, but the records .* are shorter \(24 bytes\)"):
        prebuilt(make, f'{TABLE}row = "{row}"\n', source)


def test_records_larger_than_their_struct_are_told(make: Make) -> None:
    source = MAPS + "struct head { u64 bytes; u32 pid; } *unused;" + SENDING % OUTPUT
    build = prebuilt(make, f'{TABLE}row = "head"\n', source)
    assert [warning for warning in build.warnings if "records of 24 bytes are sent to 'events'" in warning]


def test_what_is_taken_by_its_name_alone_is_told(make: Make) -> None:
    some = "bpf_ringbuf_output(&events, &c, bpf_get_prandom_u32() & 7, 0);"
    maps = MAPS.replace("value, struct scratch", "value, u64")
    source = maps + "struct conn_event { u64 bytes; } *unused;" + SENDING % some
    build = prebuilt(make, TABLE, source)
    assert [warning for warning in build.warnings if 'set row = "conn_event"' in warning]


@pytest.mark.usefixtures("may_load")
def test_an_agent_that_reads_larger_records_says_so_once(make: Make) -> None:
    source = MAPS + "struct head { u32 pid; } *unused;" + SENDING % OUTPUT
    image = next(iter(make('[[table]]\nname = "rows"\nfrom = "heap"\n', source, headers=PLAIN).artefacts.values()))
    with ModuleRun({"module.toml": f'name = "m"\n{TABLE}row = "head"\n'.encode(), "m.bpf.o": image}) as run:
        run.wait_for("rows", lambda _: True)
        said = [text for text in run.status.warnings if "is `row` in module.toml" in text]
    assert said == ["table rows reads 4 bytes of records of 24 bytes: is `row` in module.toml the right struct?"]
