/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Types that CO-RE programs name and that some kernels lack, because they were built without that part, are too old, or
 * are too new. vmlinux.h includes this header with QD_HAS_x defined for each type x of the kernel. It declares only the
 * members that programs read. The loader sets their offsets, so order and sizes are irrelevant.
 */
#ifndef QUARTERDECK_ABSENT_H
#define QUARTERDECK_ABSENT_H

#ifndef QD_HAS_pt_regs
struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
#elif defined(__TARGET_ARCH_arm64)
	u64 regs[31], sp, pc, pstate;
#endif
};
#endif

#ifndef QD_HAS_user_pt_regs
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
#endif

#ifndef QD_HAS_hd_struct /* 5.10 was the last */
struct hd_struct {
	sector_t start_sect, nr_sects;
	int policy, partno;
};
#endif

#ifndef QD_HAS_mm_rss_stat /* 6.1 was the last */
struct mm_rss_stat {
	atomic_long_t count[4];
};
#endif

#ifndef QD_HAS_bpf_iter_num
struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));
#endif

#ifndef QD_HAS_trace_event_raw_block_rq_complete /* 5.17 was the last; now _completion */
struct trace_event_raw_block_rq_complete {
	struct trace_entry ent;
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
	int error;
	char rwbs[8];
};
#endif

#ifndef QD_HAS_trace_event_raw_block_rq_completion /* since 5.18 */
struct trace_event_raw_block_rq_completion {
	struct trace_entry ent;
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
	int error;
	char rwbs[8];
};
#endif

#ifndef QD_HAS_trace_event_raw_kmem_alloc /* 6.0 was the last; now kmalloc and kmem_cache_alloc */
struct trace_event_raw_kmem_alloc {
	struct trace_entry ent;
	unsigned long call_site;
	const void *ptr;
	size_t bytes_req, bytes_alloc;
	unsigned long gfp_flags;
};
#endif

#ifndef QD_HAS_trace_event_raw_kmem_alloc_node /* 6.0 was the last */
struct trace_event_raw_kmem_alloc_node {
	struct trace_entry ent;
	unsigned long call_site;
	const void *ptr;
	size_t bytes_req, bytes_alloc;
	unsigned long gfp_flags;
	int node;
};
#endif

#ifndef QD_HAS_trace_event_raw_kmalloc /* since 6.1 */
struct trace_event_raw_kmalloc {
	struct trace_entry ent;
	unsigned long call_site;
	const void *ptr;
	size_t bytes_req, bytes_alloc;
	unsigned long gfp_flags;
	int node;
};
#endif

#ifndef QD_HAS_trace_event_raw_kmem_cache_alloc /* since 6.1 */
struct trace_event_raw_kmem_cache_alloc {
	struct trace_entry ent;
	unsigned long call_site;
	const void *ptr;
	size_t bytes_req, bytes_alloc;
	unsigned long gfp_flags;
	int node;
	bool accounted;
};
#endif

#ifndef QD_HAS_trace_event_raw_percpu_alloc_percpu
struct trace_event_raw_percpu_alloc_percpu {
	struct trace_entry ent;
	unsigned long call_site;
	bool reserved, is_atomic;
	size_t size, align, bytes_alloc;
	void *base_addr;
	int off;
	void *ptr;
};
#endif

#ifndef QD_HAS_trace_event_raw_percpu_free_percpu
struct trace_event_raw_percpu_free_percpu {
	struct trace_entry ent;
	void *base_addr;
	int off;
	void *ptr;
};
#endif

#ifndef QD_HAS_trace_event_raw_tcp_event_sk_skb /* 6.14 was the last */
struct trace_event_raw_tcp_event_sk_skb {
	struct trace_entry ent;
	const void *skbaddr, *skaddr;
	int state;
	__u16 sport, dport, family;
	__u8 saddr[4], daddr[4], saddr_v6[16], daddr_v6[16];
};
#endif

#ifndef QD_HAS_trace_event_raw_power_start
struct trace_event_raw_power_start {
	struct trace_entry ent;
	__u64 type, state, cpu_id;
};
#endif

#ifndef QD_HAS_trace_event_raw_cpu
struct trace_event_raw_cpu {
	struct trace_entry ent;
	u32 state, cpu_id;
};
#endif

#ifndef QD_HAS_trace_event_raw_cpu_frequency
struct trace_event_raw_cpu_frequency {
	struct trace_entry ent;
	u32 state, cpu_id;
};
#endif

#ifndef QD_HAS_trace_event_raw_x86_exceptions
struct trace_event_raw_x86_exceptions {
	struct trace_entry ent;
	unsigned long address, ip, error_code;
};
#endif

#ifndef QD_HAS_trace_event_raw_exceptions
struct trace_event_raw_exceptions {
	struct trace_entry ent;
	unsigned long address, ip, error_code;
};
#endif

#ifndef QD_HAS_trace_event_raw_page_fault_user
struct trace_event_raw_page_fault_user {
	struct trace_entry ent;
	unsigned long address, ip, error_code;
};
#endif

#ifndef QD_HAS_trace_event_raw_kvm_exit
struct trace_event_raw_kvm_exit {
	struct trace_entry ent;
	unsigned int exit_reason;
	unsigned long guest_rip;
	u32 isa;
	u64 info1, info2;
	u32 intr_info, error_code;
	unsigned int vcpu_id;
};
#endif

#ifndef QD_HAS_trace_event_raw_kvm_entry
struct trace_event_raw_kvm_entry {
	struct trace_entry ent;
	unsigned int vcpu_id;
	unsigned long rip;
};
#endif

#ifndef QD_HAS_trace_event_raw_lock_acquire
struct trace_event_raw_lock_acquire {
	struct trace_entry ent;
	unsigned int flags;
	u32 __data_loc_name;
	void *lockdep_addr;
};
#endif

#ifndef QD_HAS_trace_event_raw_contention_begin
struct trace_event_raw_contention_begin {
	struct trace_entry ent;
	void *lock_addr;
	unsigned int flags;
};
#endif

#ifndef QD_HAS_trace_event_raw_contention_end
struct trace_event_raw_contention_end {
	struct trace_entry ent;
	void *lock_addr;
	int ret;
};
#endif

#ifndef QD_HAS_trace_event_raw_module_load
struct trace_event_raw_module_load {
	struct trace_entry ent;
	unsigned int taints;
	u32 __data_loc_name;
};
#endif

#ifndef QD_HAS_trace_event_raw_mm_migrate_pages
struct trace_event_raw_mm_migrate_pages {
	struct trace_entry ent;
	unsigned long succeeded, failed;
	int mode, reason;
};
#endif

#ifndef QD_HAS_trace_event_raw_mm_compaction_begin
struct trace_event_raw_mm_compaction_begin {
	struct trace_entry ent;
	unsigned long zone_start, migrate_pfn, free_pfn, zone_end;
	bool sync;
};
#endif

#ifndef QD_HAS_trace_event_raw_mm_compaction_end
struct trace_event_raw_mm_compaction_end {
	struct trace_entry ent;
	unsigned long zone_start, migrate_pfn, free_pfn, zone_end;
	bool sync;
	int status;
};
#endif

#ifndef QD_HAS_trace_event_raw_ext4_sync_file_enter
struct trace_event_raw_ext4_sync_file_enter {
	struct trace_entry ent;
	dev_t dev;
	ino_t ino, parent;
	int datasync;
};
#endif

#ifndef QD_HAS_trace_event_raw_nvme_setup_cmd
struct trace_event_raw_nvme_setup_cmd {
	struct trace_entry ent;
	char disk[32];
	int ctrl_id, qid;
	u8 opcode, flags, fctype;
	u16 cid;
	u32 nsid;
	bool metadata;
	u8 cdw10[24];
};
#endif

#ifndef QD_HAS_trace_event_raw_scsi_dispatch_cmd_start
struct trace_event_raw_scsi_dispatch_cmd_start {
	struct trace_entry ent;
	unsigned int host_no, channel, id, lun, opcode, cmd_len, data_sglen, prot_sglen;
	unsigned char prot_op;
};
#endif

#ifndef QD_HAS_trace_event_raw_writeback_dirty_page
struct trace_event_raw_writeback_dirty_page {
	struct trace_entry ent;
	char name[32];
	ino_t ino;
	unsigned long index;
};
#endif

#ifndef QD_HAS_mddev
struct mddev {
	dev_t unit;
	int md_minor;
	struct gendisk *gendisk;
	int level, raid_disks;
	char clevel[16];
};
#endif

#ifndef QD_HAS_rpc_task
struct rpc_task {
	int tk_status;
	u32 tk_owner;
	unsigned long tk_runstate;
	unsigned short tk_flags, tk_timeouts, tk_pid;
};
#endif

#ifndef QD_HAS_nfs_inode
struct nfs_inode {
	__u64 fileid;
	struct inode vfs_inode;
};
#endif

#ifndef QD_HAS_xfs_inode
struct xfs_inode {
	struct inode i_vnode;
};
#endif

#ifndef QD_HAS_ext4_inode_info
struct ext4_inode_info {
	struct inode vfs_inode;
};
#endif

#ifndef QD_HAS_btrfs_inode
struct btrfs_inode {
	struct inode vfs_inode;
};
#endif

#ifndef QD_HAS_kvm_vcpu
struct kvm_vcpu {
	int cpu, vcpu_id, vcpu_idx;
};
#endif

#ifndef QD_HAS_hid_bpf_ctx
struct hid_device;
struct hid_bpf_ctx {
	struct hid_device *hid;
	__u32 allocated_size;
	union {
		__s32 retval, size;
	};
};
#endif

#endif
