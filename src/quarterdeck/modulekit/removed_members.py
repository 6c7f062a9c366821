"""Members of kernel structs that newer kernels no longer have. Programs for both old and new kernels still name them.

A CO-RE program asks `bpf_core_field_exists` and then reads the old member or the new one; to compile, both must be
declared. The kernel's own BTF declares only the new one, so the generated vmlinux.h adds these; their offsets are
irrelevant, since the loader sets them. This module owns only facts of the kernel's history; the comments name the
version that replaced a member, and the replacement.
"""

from __future__ import annotations

REMOVED_MEMBERS: dict[str, tuple[str, ...]] = {
    "task_struct": (
        "volatile long state",  # 5.13: __state
        "unsigned int cpu",  # 5.15: thread_info.cpu
        "u64 real_start_time",  # 5.4: start_boottime
    ),
    "bio": ("struct gendisk *bi_disk", "u8 bi_partno"),  # 5.11: bi_bdev
    "request": ("struct gendisk *rq_disk",),  # 5.16: q->disk
    "request_queue": ("struct backing_dev_info *backing_dev_info",),  # 5.14: disk->bdi
    "block_device": ("struct hd_struct *bd_part",),  # 5.10
    "iov_iter": ("unsigned int type", "const struct iovec *iov"),  # 5.13: iter_type; 6.3: __iov
    "inode": (
        "struct { s64 tv_sec; long tv_nsec; } i_atime",  # 6.10: i_atime_sec, i_atime_nsec
        "struct { s64 tv_sec; long tv_nsec; } i_mtime",  # 6.10: i_mtime_sec, i_mtime_nsec
        "struct { s64 tv_sec; long tv_nsec; } i_ctime",  # 6.5: __i_ctime, then i_ctime_sec, i_ctime_nsec
    ),
    "inet_sock": tuple(  # 6.5: inet_flags
        f"__u8 {bit} : 1"
        for bit in ("freebind", "transparent", "bind_address_no_port", "hdrincl", "mc_loop", "mc_all", "nodefrag")
    ),
    "dentry": ("unsigned char d_iname[32]",),  # 6.13: d_shortname
    "file": ("atomic_long_t f_count",),  # 6.12: f_ref
    "cgroup": ("int id",),  # 5.4: kn->id
    "kernfs_node": ("struct kernfs_node *parent",),  # 6.14: __parent
    "mm_struct": ("struct vm_area_struct *mmap",),  # 6.0: a maple tree
    "vm_area_struct": ("struct vm_area_struct *vm_next", "struct vm_area_struct *vm_prev"),  # 6.0
    "mnt_namespace": ("unsigned int mounts",),  # 6.7: nr_mounts
    "kernel_cap_t": ("__u32 cap[2]",),  # 6.2: val
    "cfs_rq": ("unsigned int nr_running", "unsigned int h_nr_running"),  # 6.13: nr_queued, h_nr_queued
    "page": ("struct kmem_cache *slab_cache", "unsigned long index"),  # 5.16: struct slab; 6.15: __folio_index
    "module": ("struct { void *base; unsigned int size; } core_layout",),  # 6.3: mem[]
    "trace_event_raw_sched_stat_runtime": ("u64 vruntime",),  # 6.6
    "trace_event_raw_mm_vmscan_direct_reclaim_begin_template": ("int may_writepage",),  # 4.20
    "trace_event_raw_sched_wakeup_template": ("int success",),  # 5.13
}
