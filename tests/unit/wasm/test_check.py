"""The server's errors for bytes that are not a transform."""

from __future__ import annotations

import pytest

from quarterdeck.wasm.check import check
from quarterdeck.wasm.errors import CompileFailed, InvalidGuest
from quarterdeck.wasm.instance import Limits

from .guests import MISCHIEF, PIDS, compiled, from_page, from_wat

WAT = from_page("wat")


def test_a_transform_is_accepted_and_described() -> None:
    assert [column.name for column in check(compiled(PIDS)).columns] == ["time", "pid", "comm"]
    assert check(compiled(MISCHIEF)).settings[0].name == "factor"
    assert check(from_wat(WAT)).input.sizes == (8,)


def test_logging_is_the_one_import_that_is_allowed() -> None:
    source = PIDS.replace("if (e->pid)", 'if (!e->pid) qd_log(QD_INFO, "no pid");')
    assert check(compiled(source))


@pytest.mark.parametrize(
    ("wasm", "words"),
    [
        (b"", "expected a WebAssembly module .* found bytes that start with nothing"),
        (b"#include", "found bytes that start with 23 69 6e 63 6c 75 64 65"),
        (b"\x7fELF....", "found an ELF object"),
        (b"\0asm\x0d\0\1\0", "this is a WebAssembly component"),
        (b"\0asm\2\0\0\0", "not valid WebAssembly"),
        (b"\0asm" + bytes(17 * 1024 * 1024), "the limit is 16777216"),
        (compiled(PIDS)[:-300], "not valid WebAssembly"),
        (from_wat("(module)"), "exports no memory named 'memory' .it exports nothing."),
    ],
)
def test_bytes_that_are_no_module_are_told_apart(wasm: bytes, words: str) -> None:
    with pytest.raises(InvalidGuest, match=words):
        check(wasm)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('(export "memory")', '(export "mem")', r"no memory named 'memory' \(it exports mem, qd_describe"),
        ('(memory (export "memory") 10)', '(memory (export "memory") i64 10)', "not valid WebAssembly"),
        ('(export "qd_input")', "", "does not export qd_input .*: in C, #include"),
        ('(export "qd_input") (param $size i32)', '(export "qd_input") (param $size i32) (param i32)', "expected"),
        (
            "i64.const 0x3d_0000_0000",
            "i64.const 0xffffffff_00000000",
            "qd_describe.. points at 4294967295 bytes at 0x0",
        ),
        ("i64.const 0x3d_0000_0000", "i64.const 0x3d_0009_ffff", "points at 61 bytes at 0x9ffff of 655360"),
        ("abi 1", "abi 7", "ABI 7, this host speaks ABI 1"),
        ("abi 1", "\\00\\ff\\fe\\80\\01", "not UTF-8"),
        ("(i32.const 128)))", "(i32.const -4)))", "points at 28 bytes at 0xfffffffc"),
        ("(i32.const 136) (global.get $rows)", "(i32.const 136) (i32.const 9)", "returned 9 rows"),
        ("(i32.sub (local.get $at) (local.get $input))", "(i32.const 1)", "consumed 1 bytes of 0"),
        ("(select (i32.const 65536)", "(select (i32.const 65537)", "divisible by 8"),
        ("(select (i32.const 65536)", "(select (i32.const 655352)", "in the guest's memory"),
        ("(module", "(module (func $boot unreachable) (start $boot)", "before its first record: .*unreachable"),
        ("(module", '(module (func (export "_initialize") unreachable)', "before its first record: .*unreachable"),
        ("(module", '(module (func (export "_initialize") (param i32))', r"_initialize has the type \(i32\) → \(\)"),
        ("(module", '(module (import "env" "printf" (func (param i32)))', "imports env.printf; a transform may import"),
        ("(module", '(module (import "quarterdeck" "log" (func (param i64)))', r"quarterdeck.log has the type \(i64\)"),
        (
            "(module",
            '(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))',
            "this is a WASI module",
        ),
        ("column uint64 sum", "setting uint8 x    ", "0 columns|does not export qd_set_x"),
    ],
)
def test_a_module_that_breaks_the_contract_is_told_how(old: str, new: str, words: str) -> None:
    assert old in WAT
    with pytest.raises(InvalidGuest, match=words):
        check(from_wat(WAT.replace(old, new, 1)))


def test_a_wasi_command_is_told_what_to_build_instead() -> None:
    command = """(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                 (memory (export "memory") 1) (func (export "_start")))"""
    with pytest.raises(InvalidGuest, match=r"this is a WASI command: it imports wasi_snapshot_preview1\.fd_write"):
        check(from_wat(command))


def test_a_setting_without_its_setter_is_named() -> None:
    text = WAT.replace("column uint64 sum", "setting u x\\ncolumn uint8 a", 1).replace("setting u x", "setting uint8 x")
    size = len("abi 1\nrecord 8\nlayout records\nlayout ring\nsetting uint8 x\ncolumn uint8 a\n")
    described = text.replace("0x3d_0000_0000", f"0x{size:x}_0000_0000")
    with pytest.raises(InvalidGuest, match="describes the setting x but does not export qd_set_x"):
        check(from_wat(described))
    setter = '(module (func (export "qd_set_x") (param i64))'
    with pytest.raises(InvalidGuest, match=r"qd_set_x has the type \(i64\) → \(\), expected \(i32\) → \(\)"):
        check(from_wat(described.replace("(module", setter, 1)))


def test_a_guest_that_never_returns_is_ended() -> None:
    loop = '(module (func (export "_initialize") (loop $again (br $again)))'
    with pytest.raises(InvalidGuest, match=r"did not return within 0\.1 s"):
        check(from_wat(WAT.replace("(module", loop, 1)), limits=Limits(time_s=0.1))


def test_a_guest_that_wants_too_much_memory_is_refused() -> None:
    with pytest.raises(InvalidGuest, match="starts with more memory than its limit of 131072 bytes"):
        check(from_wat(WAT), limits=Limits(memory_bytes=131_072))


def test_an_undefined_function_is_the_compilers_to_name() -> None:
    with pytest.raises((CompileFailed, InvalidGuest), match="printf"):
        check(compiled(PIDS.replace("if (e->pid)", 'int printf(const char *, ...); printf("x");')))
