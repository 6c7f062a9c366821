"""Bytes of a module that nobody vouches for make a module or a clear error, never anything else."""

from __future__ import annotations

import tomllib
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.bpf.btf import KERNEL_BTF
from quarterdeck.model.errors import BadManifest, QuarterdeckError
from quarterdeck.model.manifests import Manifest
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.manifest import parse_manifest
from tests.support import require

LINES = st.sampled_from(
    [
        'name = "m"',
        "[[table]]",
        'name = "rows"',
        'from = "events"',
        'from = [".bss", "events"]',
        'row = "event"',
        'interval = "1s"',
        'interval = "-1s"',
        "rate_limit = 99999999999999999999",
        "[table.columns.pid]",
        'type = "ipv6"',
        'role = "time"',
        'stack = "inline"',
        "hide = true",
        "values = { 1 = 'a' }",
        "[settings.target]",
        "default = [1, 2.5]",
        "[[probe]]",
        'program = "p"',
        'kind = "uprobe"',
        "alternatives = [[[]]]",
        "[maps.counts]",
        "max_entries = -1",
        "[[table.columns]]",
        "table = 1979-05-27",
        'x."y z".\'w\' = """',
    ]
)
MANIFEST = """name = "m"
[[table]]
name = "rows"
from = "events"
row = "event"
[[table]]
name = "counts"
from = "counts"
[[table]]
name = "totals"
from = ".bss"
"""
SOURCE = b"""#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct inner { u64 a : 3, b : 61; u16 list[3]; };
struct event { u32 pid; char comm[16]; struct inner inner[2]; union { u32 v4; u8 v6[16]; }; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct inner); __type(value, u64[4]); }
	counts SEC(".maps");
const volatile struct inner target = {};
const volatile char name[8] = "n";
u64 total[4];
SEC("raw_tp/sys_enter") int entered(void *ctx)
{
	struct event e = { .pid = target.a + name[1] };

	total[e.pid & 3]++;
	return bpf_ringbuf_output(&events, &e, sizeof(e), 0);
}
char LICENSE[] SEC("license") = "GPL";
"""


@given(st.one_of(st.binary(max_size=400), st.lists(LINES, max_size=20).map(lambda lines: "\n".join(lines).encode())))
def test_any_bytes_are_a_manifest_or_a_mistake(content: bytes) -> None:
    try:
        manifest = parse_manifest(content)
    except BadManifest:
        return
    assert isinstance(manifest, Manifest)
    assert tomllib.loads(content.decode())["name"] == manifest.name


@cache
def _object() -> bytes:
    built = build_module({"module.toml": MANIFEST.encode(), "m.bpf.c": SOURCE})
    return built.artefacts[built.build.object.sha256]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_object_makes_a_module_or_a_mistake(data: st.DataObject) -> None:
    require(KERNEL_BTF.exists(), "the object to damage is compiled against this kernel")
    content = bytearray(_object())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "word", "cut", "insert"])):
            case "flip":
                content[at] ^= data.draw(st.integers(1, 255))
            case "word":
                content[at : at + 4] = data.draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"]))
            case "cut":
                del content[max(at, 1) :]
            case _:
                content[at:at] = data.draw(st.binary(max_size=8))
    try:
        built = build_module({"module.toml": MANIFEST.encode(), "m.bpf.o": bytes(content)})
    except QuarterdeckError:
        return
    for source in built.build.sources:
        for field in source.fields:
            assert field.offset + field.size * field.count <= source.record_size or field.size == 0
