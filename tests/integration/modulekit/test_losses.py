"""What the kernel refuses inside a program is counted, once for each refusal, and nothing else is."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from quarterdeck.bpf.attach.dispatch import attach
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import BpfObject
from quarterdeck.model.losses import KERNEL_LOSS_SLOTS, KERNEL_LOSSES_MAP, LossReason
from tests.integration.modulekit.conftest import Make

SOURCE = """
struct event { u64 number; char filler[1000]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, u64);
	__type(value, u64);
} seen SEC(".maps");
const volatile u32 only_pid = 0;
struct { u64 calls, kept, known, repeated; } totals;

SEC("raw_tp/sys_enter")
int entered(void *ctx)
{
	struct event *event;
	u64 key;

	if (bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	key = __sync_fetch_and_add(&totals.calls, 1);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->number = key;
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
		__sync_fetch_and_add(&totals.kept, 1);
	}
	if (!bpf_map_update_elem(&seen, &key, &(u64){ 1 }, BPF_ANY))
		__sync_fetch_and_add(&totals.known, 1);
	/* refused because it is there already: no loss */
	if (bpf_map_update_elem(&seen, &(u64){ 0 }, &key, BPF_NOEXIST))
		__sync_fetch_and_add(&totals.repeated, 1);
	return 0;
}
"""


@pytest.mark.usefixtures("may_load")
def test_refusals_are_counted_exactly(make: Make) -> None:
    built = make('[[table]]\nname = "a"\nfrom = "events"\nrow = "event"\n', SOURCE)
    with BpfObject.open(built.artefacts[built.build.object.sha256], name="losses") as opened:
        initial = opened.maps[".rodata"].initial
        assert initial is not None
        only_pid = next(setting for setting in built.build.settings if setting.name == "only_pid")
        struct.pack_into("<I", initial, only_pid.offset, os.getpid())
        opened.load()
        link = attach(opened.programs["entered"])
        for _ in range(60):
            os.getppid()
        link.detach()
        totals = KernelMap(opened.maps[".bss"].fd).entries().values[0].tobytes()
        calls, kept, known, repeated = struct.unpack("<4Q", totals[:32])
        lost = KernelMap(opened.maps[KERNEL_LOSSES_MAP].fd).entries().values.view(np.uint64).sum(axis=(1, 2))
    assert calls > 50
    assert 0 < kept < calls
    assert repeated == calls
    assert dict(zip(KERNEL_LOSS_SLOTS, lost.tolist(), strict=True)) == {
        LossReason.RING_FULL: calls - kept,
        LossReason.MAP_FULL: calls - known,
    }
