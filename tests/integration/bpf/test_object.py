"""Opening, setting up, loading and closing objects on the real kernel."""

from __future__ import annotations

import errno
import gc
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach import attach
from quarterdeck.bpf.errors import BpfError, LoadError, OpenError, SyscallError
from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.stats import program_stats
from quarterdeck.bpf.uapi import Command, MapType, ProgramType

Open = Callable[[str], BpfObject]


def open_fds() -> int:
    gc.collect()  # what earlier tests left is not to be closed between two counts
    return len(list(Path("/proc/self/fd").iterdir()))


def exists(program_id: int) -> bool:
    try:
        fd = syscall.bpf(Command(13), struct.pack("=I", program_id))  # BPF_PROG_GET_FD_BY_ID
    except SyscallError:
        return False
    os.close(fd)
    return True


def test_open_lists_programs_and_maps_without_loading(opened: Open) -> None:
    tables = opened("tables")
    assert {name: program.section for name, program in tables.programs.items()} == {
        "settings": "syscall",
        "record_stack": "raw_tp",
    }
    assert tables.programs["settings"].type is ProgramType.SYSCALL
    hash_map = tables.maps["hash"]
    assert (hash_map.type, hash_map.key_size, hash_map.value_size, hash_map.max_entries) == (MapType.HASH, 8, 24, 20000)
    assert tables.maps[".rodata"].internal
    assert not hash_map.internal
    with pytest.raises(BpfError, match="not loaded"):
        _ = tables.programs["settings"].fd
    with pytest.raises(BpfError, match="not created"):
        _ = hash_map.fd


def test_rodata_is_set_by_offset(opened: Open) -> None:
    tables = opened("tables")
    initial = tables.maps[".rodata"].initial
    assert initial is not None
    wanted, prefix = initial.index(struct.pack("=I", 7)), initial.index(b"abc")
    initial[wanted : wanted + 4] = struct.pack("=I", 42)
    initial[prefix : prefix + 1] = b"\x05"
    tables.maps["stacks"].value_size = 8 * 16
    tables.load()
    assert syscall.run_program(tables.programs["settings"].fd)[0] == 42 * 1000 + 5


def test_sizes_left_to_the_loader(opened: Open) -> None:
    tables = opened("tables")
    tables.maps["stacks"].value_size = 8 * 20
    tables.maps["array"].max_entries = 9
    tables.maps["unsized_ring"].max_entries = 5000
    tables.load()
    sizes = {name: struct.unpack("=6I", syscall.object_info(tables.maps[name].fd, 24)) for name in tables.maps}
    assert sizes["unsized"][4] == 10240
    assert sizes["unsized_ring"][4] == 8192
    assert sizes["stacks"][3:5] == (160, 10240)
    assert sizes["array"][4] == 9


def test_nothing_is_pinned(opened: Open) -> None:
    tables = opened("tables")
    tables.maps["stacks"].value_size = 80
    tables.load()
    assert tables.maps["pinned"].fd > 0
    assert not Path("/sys/fs/bpf/pinned").exists()


def test_strict_load_reports_the_verifier_word_for_word_and_can_be_repeated(opened: Open) -> None:
    refused = opened("refused")
    for program in refused.programs.values():
        program.autoload = program.name in {"good", "unsafe"}
    refused.maps["impossible"].autocreate = False
    with pytest.raises(LoadError, match="R1 invalid mem access 'scalar'") as caught:
        refused.load()
    assert "prog 'unsafe': BPF program load failed" in caught.value.log
    assert "processed 2 insns" in caught.value.log
    refused.programs["unsafe"].autoload = False
    refused.load()
    assert refused.programs["good"].fd > 0


def test_tolerant_load_leaves_out_what_cannot_load_and_says_why(opened: Open) -> None:
    refused = opened("refused")
    dropped = {each.name: each for each in refused.load_tolerant(required=["good"])}
    assert {name: each.reason for name, each in dropped.items()} == {
        "impossible": "the kernel cannot create the map: its type or its sizes are not known to this kernel "
        "(EINVAL, Invalid argument)",
        "unsafe": "the verifier refused it: R1 invalid mem access 'scalar'",
        "no_field": "this kernel has no struct no_such_struct.no_such_field",
        "no_map": "it needs the map 'impossible', which was left out",
        "no_event": "this kernel has no function or event 'no_such_event'",
        "no_section": "the section name 'quarterdeck/unheard_of' is not known",
    }
    assert "R1 invalid mem access" in dropped["unsafe"].log
    assert [program.name for program in refused.programs.values() if program.loaded] == ["good", "younger"]


def test_tolerant_load_fails_when_a_required_program_is_refused(opened: Open) -> None:
    with pytest.raises(LoadError, match="program 'unsafe' cannot be loaded: the verifier refused it"):
        opened("refused").load_tolerant(required=["unsafe"])


def test_tolerant_load_fails_when_nothing_is_left(opened: Open) -> None:
    refused = opened("refused")
    for program in refused.programs.values():
        program.autoload = program.name in {"unsafe", "no_event"}
    with pytest.raises(LoadError, match="no program of object 'refused' can be loaded"):
        refused.load_tolerant()


@pytest.mark.parametrize("damage", [b"", b"not an object", b"\x7fELF" + bytes(60)])
def test_what_is_no_object_is_refused(image: Callable[[str], bytes], damage: bytes) -> None:
    with pytest.raises(OpenError, match="'broken' is not a BPF object"):
        BpfObject.open(damage, name="broken")


def test_a_cut_object_is_refused(image: Callable[[str], bytes]) -> None:
    whole = image("output")
    with pytest.raises(OpenError):
        BpfObject.open(whole[: len(whole) // 2], name="cut")


_AS_NOBODY = """
import os, sys
from pathlib import Path
from quarterdeck.bpf.errors import LoadError
from quarterdeck.bpf.object import BpfObject
opened = BpfObject.open(Path(sys.argv[1]).read_bytes(), name="nobody")
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    opened.load_tolerant()
except LoadError as error:
    print(error.errno, error)
"""


def test_a_process_without_the_right_to_load_fails_with_eperm(image: Callable[[str], bytes], tmp_path: Path) -> None:
    built = tmp_path / "tables.bpf.o"
    built.write_bytes(image("tables"))
    source = str(Path(__file__).parents[3] / "src")
    finished = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, built],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.startswith(f"{errno.EPERM} object 'nobody' cannot be loaded: EPERM")


def test_logs_belong_to_the_thread_that_made_them(image: Callable[[str], bytes]) -> None:
    logs: dict[str, str] = {}

    def load(culprit: str) -> None:
        with BpfObject.open(image("refused"), name=culprit) as refused:
            refused.maps["impossible"].autocreate = False
            for program in refused.programs.values():
                program.autoload = program.name == culprit
            with pytest.raises(LoadError) as caught:
                refused.load()
            logs[culprit] = caught.value.log

    threads = [threading.Thread(target=load, args=[name]) for name in ("unsafe", "no_event", "no_section")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, log in logs.items():
        assert f"prog '{name}'" in log
        assert not any(f"prog '{other}'" in log for other in logs if other != name)
    assert len(logs) == 3


def test_close_gives_everything_back(opened: Open) -> None:
    hooks = opened("hooks")
    before = open_fds()
    hooks.load_tolerant()
    ids = [program_stats(program.fd).id for program in hooks.programs.values() if program.loaded]
    attach(hooks.programs["on_raw_tp"])
    attach(hooks.programs["on_connect4"])
    attach(hooks.programs["on_iter"])
    assert all(exists(each) for each in ids)
    hooks.close()
    hooks.close()
    assert open_fds() == before
    deadline = time.monotonic() + 10  # the kernel frees programs a moment later
    while any(exists(each) for each in ids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(exists(each) for each in ids)


def test_many_loads_leave_no_fds(image: Callable[[str], bytes]) -> None:
    def cycle() -> None:
        with BpfObject.open(image("refused"), name="again") as refused:
            refused.load_tolerant()
            attach(refused.programs["good"])

    cycle()
    gc.collect()
    before = open_fds()
    for _ in range(200):
        cycle()
    assert open_fds() == before
