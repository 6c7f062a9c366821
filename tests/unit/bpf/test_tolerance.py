"""The cause of a failed load, read from the messages of libbpf and the verifier."""

from __future__ import annotations

import errno

import pytest

from quarterdeck.bpf import tolerance
from quarterdeck.bpf.errors import LoadError
from quarterdeck.bpf.tolerance import find_refusal

_VERIFIER = """prog 'second': BPF program load failed: Permission denied
prog 'second': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
1: (61) r0 = *(u32 *)(r1 +0)
{}
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
prog 'second': failed to load: -13
failed to load object 'x'"""


def failed(log: str, number: int = errno.EACCES) -> LoadError:
    return LoadError("object 'x' cannot be loaded", number, log)


@pytest.mark.parametrize(
    ("log", "number", "reason", "of_kind"),
    [
        (
            _VERIFIER.format("R1 invalid mem access 'scalar'"),
            errno.EACCES,
            "the verifier refused it: R1 invalid mem access 'scalar'",
            False,
        ),
        (
            _VERIFIER.format("invalid func unknown#250"),
            errno.EINVAL,
            "this kernel has no helper unknown#250 for this type of program",
            False,
        ),
        (
            _VERIFIER.format("program of this type cannot use helper bpf_probe_read#4"),
            errno.EINVAL,
            "this type of program cannot use the helper bpf_probe_read#4 here",
            False,
        ),
        (
            _VERIFIER.format(
                "0: <invalid CO-RE relocation>\n"
                "failed to resolve CO-RE relocation <byte_off> [9] struct sock.sk_gone (0:1 @ offset 8)"
            ),
            errno.EINVAL,
            "this kernel has no struct sock.sk_gone",
            False,
        ),
        (
            "prog 'first': something harmless\nprog 'second': failed to find kernel BTF type ID of 'tcp_gone': -3",
            errno.ESRCH,
            "this kernel has no function or event 'tcp_gone'",
            False,
        ),
        (
            "prog 'second': BPF program load failed: Operation not permitted",
            errno.EPERM,
            (
                "the kernel refuses fentry programs to this process, which lacks CAP_BPF"
                " (EPERM, Operation not permitted)"
            ),
            True,
        ),
        (
            "prog 'second': BPF program load failed: Argument list too long",
            errno.E2BIG,
            "the program is too long, or takes too many paths, for this kernel (E2BIG, Argument list too long)",
            False,
        ),
    ],
)
def test_program_and_reason(monkeypatch: pytest.MonkeyPatch, log: str, number: int, reason: str, of_kind: bool) -> None:
    monkeypatch.setattr(tolerance, "missing_for_loading", lambda: "CAP_BPF")
    refusal = find_refusal(failed(log, number), programs={"first": "tp_btf", "second": "fentry"}, maps=[])
    assert refusal is not None
    assert (refusal.name, refusal.reason, refusal.of_kind, refusal.is_map) == ("second", reason, of_kind, False)
    assert refusal.log == log


def test_map() -> None:
    refusal = find_refusal(
        failed("map 'arena': failed to create: Invalid argument(-22)", errno.EINVAL), programs={}, maps=["arena"]
    )
    assert refusal is not None
    assert (refusal.name, refusal.is_map) == ("arena", True)


@pytest.mark.parametrize("log", ["", "extern (func ksym) 'gone': not found", "prog 'stranger': failed to load: -22"])
def test_a_log_that_names_no_part_of_the_object_finds_no_refusal(log: str) -> None:
    assert find_refusal(failed(log), programs={"first": "tp_btf"}, maps=["map"]) is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.E2BIG, "its entries are too large or too many (E2BIG, Argument list too long)"),
        (errno.EPERM, "this process lacks the rights, or may lock too little memory"),
        (errno.ENOMEM, "there is not enough memory for its entries"),
        (errno.EBUSY, "the kernel cannot create the map (EBUSY"),
    ],
)
def test_why_a_map_cannot_be_made_is_told_in_words(number: int, words: str) -> None:
    found = find_refusal(failed("map 'counts': failed to create: x(-7)\n", number), programs={}, maps={"counts"})
    assert found is not None
    assert words in found.reason


def test_a_program_that_is_too_long_is_told_so() -> None:
    found = find_refusal(
        failed("prog 'second': BPF program load failed: x\n", errno.E2BIG), programs={"second": "xdp"}, maps=()
    )
    assert found is not None
    assert found.reason.startswith("the program is too long, or takes too many paths, for this kernel (E2BIG")
