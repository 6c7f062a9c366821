"""The generated vmlinux.h: this kernel's types, and what programs for other kernels name besides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quarterdeck.bpf.btf import Btf, Kind
from quarterdeck.model.errors import NotInstalled
from quarterdeck.modulekit.vmlinux import INCLUDE, vmlinux_folder
from tests.integration.modulekit.conftest import Make
from tests.support import require

TABLE = '[[table]]\nname = "a"\nfrom = "total"\n'
PROGRAM = """
u64 total;
SEC("raw_tp/sys_enter") int entered(void *ctx)
{
	total += %s;
	return 0;
}
"""


def test_has_every_struct_of_the_kernel() -> None:
    text = (vmlinux_folder() / "vmlinux.h").read_text()
    assert "struct task_struct {" in text
    assert text.count("\n") > 50_000


def test_is_made_once() -> None:
    assert vmlinux_folder() == vmlinux_folder()


def test_supplies_exactly_the_types_that_the_kernel_lacks() -> None:
    text = (vmlinux_folder() / "vmlinux.h").read_text()
    kernel = Btf.kernel()
    for name in re.findall(r"#ifndef QD_HAS_(\w+)", (INCLUDE / "quarterdeck" / "absent.h").read_text()):
        has = kernel.find(name, Kind.STRUCT, Kind.UNION) is not None
        assert (f"#define QD_HAS_{name}\n" in text) == has


@pytest.mark.parametrize(
    "expression",
    [
        "BPF_CORE_READ((struct task_struct *)ctx, state)",
        "BPF_CORE_READ((struct bio *)ctx, bi_disk, major)",
        "BPF_CORE_READ((struct request *)ctx, rq_disk, first_minor)",
        "BPF_CORE_READ((struct iov_iter *)ctx, type)",
        "BPF_CORE_READ((struct kernfs_node *)ctx, parent, id)",
        "BPF_CORE_READ((struct cfs_rq *)ctx, nr_running)",
        "BPF_CORE_READ_BITFIELD_PROBED((struct inet_sock *)ctx, freebind)",
        "BPF_CORE_READ((struct dentry *)ctx, d_iname[0])",
        "((struct trace_event_raw_kmem_alloc_node *)ctx)->bytes_alloc",
        "((struct trace_event_raw_tcp_event_sk_skb *)ctx)->sport",
        "((struct trace_event_raw_block_rq_complete *)ctx)->nr_sector",
        "((struct hd_struct *)ctx)->partno",
        "bpf_core_type_exists(struct mm_rss_stat) + bpf_core_field_exists(struct page, slab_cache)",
    ],
)
def test_compiles_programs_that_also_know_other_kernels(expression: str, make: Make) -> None:
    make(TABLE, PROGRAM % expression)


def test_declares_kernel_functions_for_programs_that_do_not(make: Make) -> None:
    declared = "bpf_task_release(" in (vmlinux_folder() / "vmlinux.h").read_text()
    require(declared, "the kernel's BTF must tag the functions that programs may call (pahole 1.26)")
    make(TABLE, PROGRAM % "bpf_task_release != 0")


def test_says_what_to_do_without_kernel_types(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"vmlinux\.h cannot be made here.*CONFIG_DEBUG_INFO_BTF"):
        vmlinux_folder(tmp_path / "nothing")
