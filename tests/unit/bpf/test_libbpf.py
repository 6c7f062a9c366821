"""The binding to the system's libbpf: the error without it, and the logs of threads."""

from __future__ import annotations

import pytest

from quarterdeck.bpf import libbpf
from quarterdeck.bpf.errors import LibbpfError, LibbpfMissing
from tests.support import require


@pytest.fixture
def present() -> None:
    try:
        libbpf.version()
    except LibbpfMissing as error:
        require(condition=False, reason=str(error))


def test_without_libbpf_the_error_says_what_to_install() -> None:
    with pytest.raises(LibbpfMissing, match=r"install the package libbpf1 \(Debian, Ubuntu\) or libbpf"):
        libbpf._Bound("libbpf.so.does-not-exist")


@pytest.mark.usefixtures("present")
def test_version_and_what_is_there() -> None:
    assert libbpf.version().startswith("1.")
    assert libbpf.has("bpf_object__open_mem")
    assert not libbpf.has("bpf_object__fly")


@pytest.mark.usefixtures("present")
def test_a_refused_call_carries_its_own_log() -> None:
    with pytest.raises(LibbpfError, match="bpf_object__open_mem: ") as caught:
        libbpf.make("bpf_object__open_mem", b"not an object", 13, None)
    assert caught.value.what == "bpf_object__open_mem"
    assert "elf: " in caught.value.log
    with pytest.raises(LibbpfError) as caught:
        libbpf.make("bpf_object__open_mem", b"", 0, None)
    assert "elf: " not in caught.value.log


@pytest.mark.usefixtures("present")
def test_options_are_sized_and_keep_their_strings() -> None:
    opts = libbpf.options("bpf_uprobe_opts", func_name=b"main", retprobe=True, bpf_cookie=None)
    assert opts["sz"] >= 40
    assert opts["retprobe"] == 1
    opts["bpf_cookie"] = 7
    assert opts["bpf_cookie"] == 7
