"""Each family of probes on the real kernel: what hangs fires, what is taken down is silent, what cannot says why."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.bpf.attach import IteratorLink, attach, clsact, prepare, tracefs
from quarterdeck.bpf.attach.kprobe import kernel_has_kprobes
from quarterdeck.bpf.attach.probes import (
    Cgroup,
    Kprobe,
    Netfilter,
    PerfEvent,
    Probe,
    RawTracepoint,
    SocketFilter,
    Tc,
    Traced,
    Tracepoint,
    Uprobe,
    UprobeMulti,
    Usdt,
    Xdp,
)
from quarterdeck.bpf.errors import AttachError, NotAttachable
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import BpfObject
from tests.support import require

#: The counters of programs/hooks.bpf.c, in their order.
_PLACES = [
    "tracepoint",
    "raw_tp",
    "tp_btf",
    "fentry",
    "lsm",
    "kprobe",
    "kretprobe",
    "kprobe_multi",
    "ksyscall",
    "uprobe",
    "uretprobe",
    "uprobe_multi",
    "usdt",
    "perf_event",
    "tc",
    "tcx",
    "xdp",
    "socket",
    "cgroup_skb",
    "connect4",
    "sockops",
    "netfilter",
    "iter",
]
_libc = ctypes.CDLL(None)


class Hooks:
    """The object `hooks`, loaded, and its counters."""

    def __init__(self, loaded: BpfObject) -> None:
        self.programs = loaded.programs
        self._counters = KernelMap(loaded.maps[".bss"].fd)

    def hits(self, place: str) -> int:
        counters = self._counters.lookup(bytes(4))
        assert counters is not None
        return struct.unpack_from("=Q", counters.tobytes(), 8 * _PLACES.index(place))[0]

    def loaded(self, place: str) -> bool:
        return self.programs[f"on_{place}"].loaded


@pytest.fixture
def hooks(opened: Callable[[str], BpfObject]) -> Hooks:
    loaded = opened("hooks")
    loaded.load_tolerant()
    return Hooks(loaded)


@pytest.fixture(autouse=True)
def loopback_to_ourselves() -> Iterator[None]:
    """Some places on an interface can be taken only once, and other workers test here too."""
    with Path(tempfile.gettempdir(), "quarterdeck-loopback.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cause_everything() -> None:
    """What each program waits for."""
    _libc.getppid()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.send(b"x")
    thread = threading.Thread(target=time.sleep, args=[0])
    thread.start()
    thread.join()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(
    ("place", "probe"),
    [
        ("raw_tp", None),
        ("raw_tp", RawTracepoint("sys_exit")),
        ("tp_btf", None),
        ("uprobe", Uprobe("libc", "getppid")),
        ("uretprobe", None),
        ("uprobe_multi", None),
        ("perf_event", PerfEvent()),
        ("perf_event", PerfEvent("cpu-clock", frequency=999)),
        ("perf_event", PerfEvent("cpu-clock", period=1_000_000)),
        ("perf_event", PerfEvent("cpu-cycles", frequency=999)),
        ("tc", Tc("lo")),
        ("tc", Tc("lo", "egress")),
        ("tcx", Tc("lo", "egress")),
        ("xdp", Xdp("lo")),
        ("socket", SocketFilter("lo")),
        ("cgroup_skb", None),
        ("connect4", None),
        ("sockops", None),
        ("netfilter", Netfilter(hook="local_in", priority=1234)),
    ],
    ids=str,
)
def test_fires_until_detached(hooks: Hooks, place: str, probe: Probe | None) -> None:
    require(hooks.loaded(place), f"this kernel does not load {place} programs")
    link = attach(hooks.programs[f"on_{place}"], probe)
    before = hooks.hits(place)
    cause_everything()
    seen = hooks.hits(place)
    assert seen > before, link.where
    link.detach()
    link.detach()
    seen = hooks.hits(place)
    cause_everything()
    assert hooks.hits(place) == seen


def test_tracepoint(hooks: Hooks) -> None:
    with tracefs.private() as root:
        link = attach(hooks.programs["on_tracepoint"], tracefs=root)
        assert link.where == "tracepoint syscalls:sys_enter_getppid"
        with pytest.raises(AttachError, match="this kernel has no tracepoint sched:no_such"):
            attach(hooks.programs["on_tracepoint"], Tracepoint("sched", "no_such"), tracefs=root)
    before = hooks.hits("tracepoint")
    _libc.getppid()
    assert hooks.hits("tracepoint") > before


def test_tracepoint_without_tracefs(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "mounted", lambda: None)
    with pytest.raises(NotAttachable, match=r"mount -t tracefs .* or use SEC\(\"tp_btf/sys_enter\"\)"):
        attach(hooks.programs["on_tracepoint"])


def test_private_tracefs_appears_nowhere(hooks: Hooks) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    with tracefs.private() as root:
        assert (root / "events" / "sched").is_dir()
        assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not root.exists()


@pytest.mark.parametrize("ours", [True, False])
def test_one_process_only(hooks: Hooks, ours: bool) -> None:
    attach(hooks.programs["on_uprobe"], Uprobe("libc.so.6", "getppid", pid=os.getpid() if ours else 1))
    before = hooks.hits("uprobe")
    _libc.getppid()
    assert hooks.hits("uprobe") - before == (1 if ours else 0)


def test_usdt(hooks: Hooks) -> None:
    python = Path("/usr/bin/python3")
    notes = subprocess.run(["readelf", "-n", str(python.resolve())], capture_output=True, text=True, check=False).stdout
    require("gc__start" in notes, "the system's Python has no USDT markers")
    attach(hooks.programs["on_usdt"], Usdt(str(python), "python", "gc__start"))
    before = hooks.hits("usdt")
    subprocess.run([python, "-c", "import gc; gc.collect()"], check=True)
    assert hooks.hits("usdt") > before


def test_iterator(hooks: Hooks) -> None:
    link = attach(hooks.programs["on_iter"])
    assert isinstance(link, IteratorLink)
    for _ in range(2):
        assert os.getpid() in memoryview(link.read()).cast("i").tolist()


def test_clsact_filter_and_its_qdisc_are_taken_away(hooks: Hooks) -> None:
    interface = socket.if_nametoindex("lo")
    first = clsact.hang(hooks.programs["on_tc"], interface, egress=False)
    second = clsact.hang(hooks.programs["on_tc"], interface, egress=True)
    before = hooks.hits("tc")
    cause_everything()
    assert hooks.hits("tc") > before
    first()
    cause_everything()
    second()
    seen = hooks.hits("tc")
    cause_everything()
    assert hooks.hits("tc") == seen
    shown = subprocess.run(["tc", "qdisc", "show", "dev", "lo"], capture_output=True, text=True, check=False)
    assert "clsact" not in shown.stdout


def test_cgroup_by_path(hooks: Hooks) -> None:
    with pytest.raises(NotAttachable, match="No such file"):
        attach(hooks.programs["on_connect4"], Cgroup(Path("no/such/group")))


def test_xdp_place_is_taken_once(hooks: Hooks) -> None:
    attach(hooks.programs["on_xdp"], Xdp("lo"))
    with pytest.raises(AttachError, match="another program is already there"):
        attach(hooks.programs["on_xdp"], Xdp("lo"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("uprobe", 'kind = "uprobe", binary = "PATH", target = "SYMBOL"'),
        ("usdt", 'kind = "usdt", binary = "PATH", target = "PROVIDER:NAME"'),
        ("perf_event", 'kind = "perf_event"'),
        ("tc", 'kind = "tc", interface = "NAME", direction = "ingress"'),
        ("tcx", 'kind = "tc"'),
        ("xdp", 'kind = "xdp"'),
        ("netfilter", 'kind = "netfilter"'),
    ],
)
def test_a_section_that_says_too_little_names_the_probe_to_write(hooks: Hooks, place: str, words: str) -> None:
    with pytest.raises(NotAttachable, match=f'program = "on_{place}", {words}'):
        attach(hooks.programs[f"on_{place}"])


@pytest.mark.parametrize(
    ("place", "probe", "error", "words"),
    [
        ("uprobe", Uprobe("libc", "no_such_symbol"), AttachError, "failed to find symbol 'no_such_symbol'"),
        ("uprobe", Uprobe("/no/such/file", "main"), NotAttachable, "binary /no/such/file does not exist"),
        ("uprobe", Uprobe("nosuchlibrary", "main"), NotAttachable, "neither a program in PATH nor a library"),
        ("uprobe", Uprobe("libc"), NotAttachable, "needs a symbol or an offset"),
        ("uprobe_multi", UprobeMulti("libc", "getp*"), NotAttachable, "needs libbpf 1.3"),
        ("usdt", Usdt("libc", "libc", "no_such"), AttachError, "cannot be attached to usdt"),
        ("perf_event", PerfEvent("no-such"), NotAttachable, "unknown perf event 'no-such'; known: cpu-clock"),
        ("perf_event", PerfEvent(frequency=1, period=1), NotAttachable, "a frequency or a period, not both"),
        ("tc", Tc("nosuch0"), NotAttachable, "no interface 'nosuch0' here; there are: .*lo"),
        ("xdp", Tc("lo"), NotAttachable, "is of type xdp, but a tc probe takes sched_cls"),
        ("raw_tp", RawTracepoint("no_such"), AttachError, "this kernel has no raw tracepoint no_such"),
    ],
    ids=str,
)
def test_a_program_that_cannot_be_attached_says_why(
    hooks: Hooks, place: str, probe: Probe, error: type[AttachError], words: str
) -> None:
    with pytest.raises(error, match=words):
        attach(hooks.programs[f"on_{place}"], probe)
    assert hooks.programs[f"on_{place}"].links == []


@pytest.mark.parametrize("place", ["kprobe", "kretprobe", "kprobe_multi", "ksyscall"])
def test_kprobes_fire_or_say_that_the_kernel_has_none(hooks: Hooks, place: str) -> None:
    if not kernel_has_kprobes():
        with pytest.raises(AttachError, match="this kernel has no kprobes"):
            attach(hooks.programs[f"on_{place}"])
        return
    attach(hooks.programs[f"on_{place}"])
    before = hooks.hits(place)
    _libc.getppid()
    Path("/proc/self/stat").read_text()
    assert hooks.hits(place) > before


@pytest.mark.parametrize("place", ["fentry", "lsm"])
def test_fentry_and_lsm_fire_where_the_kernel_loads_them(hooks: Hooks, place: str) -> None:
    if not hooks.loaded(place):
        return  # that they were dropped with a reason is test_object's matter
    attach(hooks.programs[f"on_{place}"])
    before = hooks.hits(place)
    Path("/proc/self/stat").read_text()
    assert hooks.hits(place) > before


def test_prepare_gives_a_program_what_its_probe_needs(opened: Callable[[str], BpfObject]) -> None:
    refused = opened("refused")
    refused.maps["impossible"].autocreate = False
    for program in refused.programs.values():
        program.autoload = program.name in {"no_event", "no_section"}
    prepare(refused.programs["no_event"], Traced("sched_process_exec"))
    prepare(refused.programs["no_section"], RawTracepoint("sys_enter"))
    refused.load()
    assert attach(refused.programs["no_event"]).where == "tp_btf sched_process_exec"
    assert attach(refused.programs["no_section"], RawTracepoint("sys_enter")).where == "raw tracepoint sys_enter"
    with pytest.raises(NotAttachable, match="is of type raw_tracepoint, but a kprobe probe takes kprobe"):
        prepare(refused.programs["no_section"], Kprobe("vfs_read"))
