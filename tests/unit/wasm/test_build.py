from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.wasm import build
from quarterdeck.wasm.build import build_guests, compile_guest
from quarterdeck.wasm.check import check
from quarterdeck.wasm.errors import CompileFailed

from .guests import PIDS


def test_headers_beside_the_source_and_in_other_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "types.h").write_text("typedef u32 port_type;\n")
    (tmp_path / "event.h").write_text("struct event { u64 ts; u32 pid; port_type port; };\n")
    source = tmp_path / "pids.wasm.c"
    body = '#include "quarterdeck.h"\n#include "types.h"\n#include "event.h"\n' + PIDS.split("char comm[16]; };")[1]
    source.write_text(body.replace(", (string, comm)", "").replace(", .comm = qd_str(e->comm)", ""))
    assert compile_guest(source, tmp_path / "out" / "pids.wasm", include=[tmp_path / "shared"]) == ""
    assert check((tmp_path / "out" / "pids.wasm").read_bytes()).input.sizes == (16,)


def test_wrong_c_is_told_with_the_compilers_lines_and_leaves_the_old_guest(tmp_path: Path) -> None:
    out = tmp_path / "guest.wasm"
    out.write_bytes(b"old")
    with pytest.raises(CompileFailed) as caught:
        compile_guest(PIDS.replace("e->pid)", "e->pidd)", 1).encode(), out)
    assert "guest.wasm.c:7:" in str(caught.value)
    assert "error: no member named 'pidd'" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["guest.wasm"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("qd_str(e->comm)", "qd_str(&e->comm[0])", "of a pointer, use qd_strn"),
        (".pid = e->pid", ".pif = e->pid", "field designator 'pif' does not refer to any field"),
        ("(u32, pid)", "(uint, pid)", "qd_uint|QD_KIND_uint|QD_WORD_uint"),
        ("(u32, pid)", "(u32, time)", "time"),
    ],
)
def test_mistakes_an_author_makes_are_the_compilers_to_find(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(CompileFailed, match=words):
        compile_guest(PIDS.replace(old, new, 1).encode(), tmp_path / "guest.wasm")


def test_warnings_are_returned(tmp_path: Path) -> None:
    words = compile_guest(PIDS.replace("if (e->pid)", "int unused; if (e->pid)").encode(), tmp_path / "guest.wasm")
    assert "unused variable 'unused'" in words


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_guest(PIDS.encode(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "a").read_bytes()


def test_the_built_in_guests_are_made(tmp_path: Path) -> None:
    assert [path.name for path in build_guests(tmp_path)] == ["spans.wasm", "statsd.wasm"]
    assert check((tmp_path / "spans.wasm").read_bytes()), "it is a transform"


def test_without_a_compiler_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CompileFailed, match=r"pip install 'quarterdeck\[build\]'"):
        compile_guest(PIDS.encode(), tmp_path / "guest.wasm")
