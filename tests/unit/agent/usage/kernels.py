"""The files of two kernels: one of today, and one of 2009 that lacks much of it."""

from __future__ import annotations

from pathlib import Path

NEW_STAT = """\
cpu  1000 200 300 4000 500 60 40 100 150 20
cpu0 500 100 150 2000 250 30 20 50 75 10
intr 90000 0 9 0
ctxt 123456
btime 1796059458
processes 23715
procs_running 3
procs_blocked 1
softirq 752618 0 101007
"""
#: without steal and guests
OLD_STAT = """\
cpu  1000 200 300 4000 500 60 40
cpu0 1000 200 300 4000 500 60 40
procs_running 1
procs_blocked 0
"""
NEW_MEMINFO = """\
MemTotal:        8000000 kB
MemFree:         1000000 kB
MemAvailable:    5000000 kB
Buffers:          100000 kB
Cached:          3000000 kB
SwapCached:            0 kB
SReclaimable:     400000 kB
SwapTotal:       2000000 kB
SwapFree:        1500000 kB
HugePages_Total:       0
"""
OLD_MEMINFO = """\
MemTotal:        8000000 kB
MemFree:         1000000 kB
Buffers:          100000 kB
Cached:          3000000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
"""
LOADAVG = "0.50 1.25 2.00 3/345 9876\n"
UPTIME = "3600.50 7000.00\n"
PRESSURE = """\
some avg10=1.53 avg60=0.87 avg300=0.21 total=2500000
full avg10=0.00 avg60=0.10 avg300=0.05 total=500000
"""
#: of cpu, before Linux 5.13
PRESSURE_CPU = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"
#: with discards and flushes
NEW_DISKSTATS = """\
   7       0 loop0 14 0 34 5 0 0 0 0 0 4 5 0 0 0 0 0 0
   7       1 loop1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 254       0 vda 1000 10 8000 700 2000 20 16000 900 0 1500 1600 45904 72 2230088 7576 20933 1957
 254       1 vda1 900 10 7000 600 2000 20 16000 900 0 1400 1500 0 0 0 0 0 0
 253       0 dm-0 900 0 7000 600 2000 0 16000 900 0 1400 1500 0 0 0 0 0 0
"""
OLD_DISKSTATS = """\
   8       0 sda 1000 10 8000 700 2000 20 16000 900 0 1500 1600
   8       1 sda1 1000 8000 2000 16000
 104       0 cciss/c0d0 1 0 8 1 0 0 0 0 0 1 1
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 29482660   23451    0    0    0     0          0         0 29482660   23451    0    0    0     0       0  0
  eth0:1000 10 1 2 0 0 0 0 500 5 3 4 0 0 0 0
eth0:1: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0
veth12ab: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
"""  # fmt: skip
FILESYSTEMS = (
    "nodev\tsysfs\nnodev\ttmpfs\nnodev\tnfs\nnodev\toverlay\nnodev\tzfs\n\text4\n\tsquashfs\n\tbtrfs\n\tvfat\n"
)
MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
28 27 0:25 / /run rw,nosuid - tmpfs tmpfs rw,mode=755
29 27 254:2 / /my\040data rw,relatime - ext4 /dev/vda2 rw
30 27 254:2 / /srv/second/mount rw,relatime - ext4 /dev/vda2 rw
31 27 254:1 /var/lib/volume /var/lib/kubelet/pods/x/volume rw - ext4 /dev/vda1 rw
32 27 0:30 / /mnt/share rw - nfs4 server:/export rw,vers=4.2
33 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
34 27 0:31 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
35 27 0:32 /@home /home rw - btrfs /dev/vdb rw,subvol=/@home
36 27 0:33 / /tank/a rw - zfs tank/a rw
37 27 254:9 / /hidden rw - ext4 /dev/vda9 rw
38 27 254:3 / /hidden rw - vfat /dev/vda3 rw
"""


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def new_kernel(root: Path) -> None:
    """Write the files of a kernel of today, with one disk and a volume on it."""
    write(
        root,
        {
            "proc/stat": NEW_STAT,
            "proc/loadavg": LOADAVG,
            "proc/uptime": UPTIME,
            "proc/meminfo": NEW_MEMINFO,
            "proc/pressure/cpu": PRESSURE_CPU,
            "proc/pressure/memory": PRESSURE,
            "proc/pressure/io": PRESSURE,
            "proc/diskstats": NEW_DISKSTATS,
            "proc/net/dev": NET_DEV,
            "proc/filesystems": FILESYSTEMS,
            "proc/self/mountinfo": MOUNTINFO,
            "sys/block/dm-0/slaves/vda1": "",
        },
    )
    for name in ("vda", "loop0", "loop1"):
        (root / "sys/block" / name / "slaves").mkdir(parents=True)


def old_kernel(root: Path) -> None:
    """Write the files of a kernel of 2009."""
    write(
        root,
        {
            "proc/stat": OLD_STAT,
            "proc/loadavg": LOADAVG,
            "proc/uptime": UPTIME,
            "proc/meminfo": OLD_MEMINFO,
            "proc/diskstats": OLD_DISKSTATS,
            "proc/net/dev": NET_DEV,
            "proc/filesystems": FILESYSTEMS,
            "proc/self/mountinfo": MOUNTINFO,
        },
    )
    for name in ("sda", "cciss!c0d0"):
        (root / "sys/block" / name / "slaves").mkdir(parents=True)
