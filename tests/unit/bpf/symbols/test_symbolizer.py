"""The symbolizer with a process table built by hand: containers, ended processes, changed and hostile files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.bpf.symbols.symbolizer import CHANGES_INTERVAL_S, KALLSYMS_INTERVAL_S
from tests.unit.bpf.binaries import Part, elf, note, symbol
from tests.unit.bpf.symbols.test_elf_file import CODE

PID = 4242


def program(name: bytes, *, build_id: bytes = b"\xab\xcd") -> bytes:
    return elf(
        Part(name=".text"),
        Part(name=".symtab", content=symbol(0, 0x401000, 0x20), type=2, link=3, entry_size=24),
        Part(name=".strtab", content=name + b"\0", type=3),
        Part(name=".note.gnu.build-id", content=note(b"GNU", 3, build_id), type=7),
        segments=(CODE,),
    )


class Table:
    """A process table in a folder, with one process whose root holds /app/tool."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder
        self.root = folder / str(PID) / "root"
        (self.root / "app").mkdir(parents=True)
        (self.root / "tmp").mkdir()
        self.maps = folder / str(PID) / "maps"
        (folder / str(PID) / "status").write_text("Name:\ttool\nNSpid:\t4242\t7\n")

    def run(self, image: bytes, *, inode: int = 5, path: str = "/app/tool") -> None:
        (self.root / path.removeprefix("/").removesuffix(" (deleted)")).write_bytes(image)
        self.maps.write_text(
            f"400000-401000 r-xp 00001000 00:30 {inode}    {path}\n7f0000000000-7f0000002000 rwxp 00000000 00:00 0 \n"
        )


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def user(symbolizer: Symbolizer, *addresses: int) -> list[str]:
    return symbolizer.user(PID, np.array(addresses, dtype=np.uint64))


def test_frames_of_a_container_are_named_from_its_root(table: Table) -> None:
    table.run(program(b"work"))
    names = user(Symbolizer(proc=table.proc), 0x400010, 0x400100, 0x1, 0x7F0000000010, 0x400010)
    assert names == ["work", "tool[abcd]+0x1100", "0x1", "[anon]+0x10", "work"]


def test_names_outlive_their_process(table: Table) -> None:
    symbolizer = Symbolizer(proc=table.proc)
    table.run(program(b"work"))
    assert user(symbolizer, 0x400010) == ["work"]
    table.proc.joinpath(str(PID)).rename(table.proc / "ended")
    assert user(symbolizer, 0x400010, 0x400100) == ["work", "tool[abcd]+0x1100"]
    assert Symbolizer(proc=table.proc).user(PID, np.array([0x400010], dtype=np.uint64)) == ["0x400010"]


def test_a_process_that_is_just_ending_is_as_it_was_last_seen(table: Table) -> None:
    symbolizer = Symbolizer(proc=table.proc)
    table.run(program(b"work"))
    assert user(symbolizer, 0x400010) == ["work"]
    table.maps.write_text("")
    assert user(symbolizer, 0x400010) == ["work"]


def test_a_changed_file_is_read_again(table: Table) -> None:
    symbolizer = Symbolizer(proc=table.proc)
    table.run(program(b"work"))
    assert user(symbolizer, 0x400010) == ["work"]
    table.run(program(b"play"))
    os.utime(table.root / "app/tool", ns=(1, 1))
    assert user(symbolizer, 0x400010) == ["play"]


def test_a_deleted_file_is_not_confused_with_its_successor(table: Table) -> None:
    table.run(program(b"successor"), path="/app/tool (deleted)")
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["tool+0x1010"]


def test_a_mapped_file_is_preferred_to_its_path(table: Table) -> None:
    table.run(program(b"successor"), path="/app/tool (deleted)")
    mapped = table.proc / str(PID) / "map_files"
    mapped.mkdir()
    (mapped / "400000-401000").write_bytes(program(b"original"))
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["original"]


@pytest.mark.parametrize("image", [b"", b"#!/bin/sh\n", program(b"work")[:200]])
def test_what_is_no_program_still_has_its_place(table: Table, image: bytes) -> None:
    table.run(image)
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["tool+0x1010"]


def test_only_regular_files_are_opened(table: Table) -> None:
    table.run(b"")
    (table.root / "app/tool").unlink()
    os.mkfifo(table.root / "app/tool")
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["tool+0x1010"]


def test_the_same_path_outside_a_container_is_another_file(table: Table, tmp_path: Path) -> None:
    outside = tmp_path / "tool"
    outside.write_bytes(program(b"outside"))
    table.maps.write_text(f"400000-401000 r-xp 00001000 00:30 {outside.stat().st_ino + 1} {outside}\n")
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["tool+0x1010"]
    table.maps.write_text(f"400000-401000 r-xp 00001000 00:30 {outside.stat().st_ino} {outside}\n")
    assert user(Symbolizer(proc=table.proc), 0x400010) == ["outside"]


def test_jit_functions_are_named_by_the_id_inside_the_container(table: Table) -> None:
    table.run(program(b"work"))
    perf_map = table.root / "tmp/perf-7.map"
    perf_map.write_text("7f0000000000 20 js::run\n")
    symbolizer = Symbolizer(proc=table.proc)
    assert user(symbolizer, 0x7F0000000010, 0x7F0000001000) == ["js::run", "[anon]+0x1000"]
    perf_map.write_text("7f0000000000 20 js::run\n7f0000001000 10 js::stop\n")
    assert user(symbolizer, 0x7F0000000010, 0x7F0000001000) == ["js::run", "js::stop"]
    perf_map.unlink()
    assert user(symbolizer, 0x7F0000000010) == ["js::run"]


def test_kernel_addresses_are_named_and_modules_loaded_later_too(table: Table) -> None:
    now = [0.0]
    kallsyms = table.proc / "kallsyms"
    kallsyms.write_bytes(b"ffffffff81000000 T do_one\nffffffff81000040 T do_two\n")
    symbolizer = Symbolizer(proc=table.proc, clock=lambda: now[0], programs=lambda: ())
    addresses = np.array([0xFFFFFFFF81000041, 0xFFFFFFFFC0000001, 0xFFFFFFFF81000001], dtype=np.uint64)
    assert symbolizer.kernel(addresses) == ["do_two", "0xffffffffc0000001", "do_one"]
    kallsyms.write_bytes(kallsyms.read_bytes() + b"ffffffffc0000000 t nft_do_chain\t[nf_tables]\n")
    assert symbolizer.kernel(addresses)[1] == "0xffffffffc0000001"
    now[0] = KALLSYMS_INTERVAL_S
    assert symbolizer.kernel(addresses)[1] == "nft_do_chain [nf_tables]"


@pytest.mark.parametrize("content", [None, b"", b"0000000000000000 T do_one\n"])
def test_a_kernel_that_hides_its_symbols_leaves_addresses(table: Table, content: bytes | None) -> None:
    if content is not None:
        (table.proc / "kallsyms").write_bytes(content)
    addresses = np.array([0xFFFFFFFF81000041], dtype=np.uint64)
    assert Symbolizer(proc=table.proc).kernel(addresses) == ["0xffffffff81000041"]


def test_no_addresses_have_no_names(table: Table) -> None:
    nothing = np.zeros(0, dtype=np.uint64)
    assert Symbolizer(proc=table.proc).user(PID, nothing) == []
    assert Symbolizer(proc=table.proc).kernel(nothing) == []


def test_a_process_that_got_the_id_of_another_has_none_of_its_functions(table: Table) -> None:
    table.run(program(b"work"))
    (table.proc / str(PID) / "stat").write_text(f"4242 (a b) c) S {' '.join('0' * 18)} 100 0")
    perf_map = table.root / "tmp/perf-7.map"
    perf_map.write_text("7f0000000000 20 js::run\n")
    symbolizer = Symbolizer(proc=table.proc)
    assert user(symbolizer, 0x7F0000000010) == ["js::run"]
    perf_map.unlink()
    assert user(symbolizer, 0x7F0000000010) == ["js::run"]
    (table.proc / str(PID) / "stat").write_text(f"4242 (other) S {' '.join('0' * 18)} 200 0")
    assert user(symbolizer, 0x7F0000000010) == ["[anon]+0x10"]


BPF = b"ffffffff81000000 T do_one\nffffffffc0000000 t bpf_prog_%s\t[bpf]\n"


def test_names_of_programs_that_are_gone_are_not_given_to_those_that_came(table: Table) -> None:
    kallsyms, programs, now = table.proc / "kallsyms", [(1, 2)], [0.0]
    symbolizer = Symbolizer(proc=table.proc, clock=lambda: now[0], programs=lambda: programs[-1])
    address = np.array([0xFFFFFFFFC0000008], dtype=np.uint64)
    kallsyms.write_bytes(BPF % b"first")
    assert symbolizer.kernel(address) == ["bpf_prog_first [bpf]"]
    kallsyms.write_bytes(BPF % b"second")
    programs.append((1, 3))
    assert symbolizer.kernel(address) == ["bpf_prog_second [bpf]"]
    for number in range(100):  # they change faster than the limit of reads
        kallsyms.write_bytes(BPF % str(number).encode())
        programs.append((1, 4 + number))
        assert symbolizer.kernel(address)[0] in {f"bpf_prog_{number} [bpf]", "0xffffffffc0000008"}
    assert symbolizer.kernel(address) == ["0xffffffffc0000008"]
    now[0] += CHANGES_INTERVAL_S
    assert symbolizer.kernel(address) == ["bpf_prog_99 [bpf]"]
    kallsyms.write_bytes(b"ffffffff81000000 T do_one\n")
    programs.append((1, 1))
    now[0] += CHANGES_INTERVAL_S
    assert symbolizer.kernel(address) == ["0xffffffffc0000008"]


def test_names_of_modules_that_are_gone_are_not_given_to_those_that_came(table: Table) -> None:
    kallsyms, modules = table.proc / "kallsyms", table.proc / "modules"
    symbolizer = Symbolizer(proc=table.proc, programs=lambda: ())
    address = np.array([0xFFFFFFFFC0000008], dtype=np.uint64)
    for name in (b"xfs", b"btrfs"):
        modules.write_bytes(name + b" 16384 2 - Live 0xffffffffc0000000\n")
        kallsyms.write_bytes(b"ffffffffc0000000 t run\t[%s]\n" % name)
        assert symbolizer.kernel(address) == [f"run [{name.decode()}]"]


def test_programs_that_may_not_be_listed_are_looked_for_now_and_then(table: Table) -> None:
    kallsyms, now = table.proc / "kallsyms", [0.0]
    symbolizer = Symbolizer(proc=table.proc, clock=lambda: now[0], programs=lambda: None)
    address = np.array([0xFFFFFFFFC0000008], dtype=np.uint64)
    kallsyms.write_bytes(BPF % b"first")
    assert symbolizer.kernel(address) == ["bpf_prog_first [bpf]"]
    kallsyms.write_bytes(BPF % b"second")
    now[0] = KALLSYMS_INTERVAL_S
    assert symbolizer.kernel(address) == ["bpf_prog_second [bpf]"]
