"""Addresses beside a family, as tools for both kinds of sockets keep them."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.testing.module_run import readable
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls, ring_manifest

SOURCE = (
    HEADER
    + """
struct event {
    union { __u32 saddr_v4; __u8 saddr_v6[16]; };
    union { __be32 daddr_v4; unsigned __int128 daddr_v6; };
    __u64 count; __u16 family; char comm[16];
};
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } ring SEC(".maps");
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
    if (!e) return 0;
    __builtin_memset(e, 0xcc, sizeof(*e));
    e->count = __sync_fetch_and_add(&seq, 1);
    e->family = e->count % 2 ? 10 : 2;
    if (e->count % 2) {
        __builtin_memset(e->saddr_v6, 0, 16);
        e->saddr_v6[15] = 1;
        e->daddr_v6 = 0;
    } else {
        e->saddr_v4 = 0x0100007f;
        e->daddr_v4 = 0x0403020a;
    }
    bpf_get_current_comm(e->comm, 16);
    bpf_ringbuf_submit(e, 0);
    return 0;
}
"""
)

MORE = """
[table.columns.saddr_v6]
name = "source"
type = "ip"
FAMILY
[table.columns.daddr_v6]
name = "destination"
type = "ip"
[table.columns.saddr_v4]
hide = true
[table.columns.daddr_v4]
hide = true
[table.columns.family]
hide = true
"""


@pytest.mark.parametrize("family", ["", 'family = "family"'])
async def test_one_column_has_both_kinds(rig: Rig, family: str) -> None:
    await rig.running(build("both", SOURCE, ring_manifest("both", MORE.replace("FAMILY", family))))
    calls(4)
    await rig.rows("both", at_least=4)
    rows = [row for table, _, body, _ in rig.batches for row in readable(table, body)]
    assert [(str(row["source"]), str(row["destination"])) for row in rows] == [
        ("127.0.0.1", "10.2.3.4"),
        ("::1", "::"),
    ] * 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (MORE.replace("FAMILY", 'family = "kind"'), "family names no member that is a whole number: 'kind'"),
        (MORE.replace("FAMILY", 'family = "comm"'), "family names no member that is a whole number: 'comm'"),
        ('[table.columns.count]\nfamily = "family"\n', "only an ip has a family"),
        ('[table.columns.count]\ntype = "ip"\n', "cannot be read as ip"),
    ],
)
def test_what_has_no_family_is_refused(kernel: None, more: str, says: str) -> None:
    with pytest.raises(BadManifest, match=says):
        build("both", SOURCE, ring_manifest("both", more))
