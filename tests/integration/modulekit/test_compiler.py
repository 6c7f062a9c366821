"""What a module's author writes is compiled where nothing but the module and the headers can be read, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.model.errors import BadProgram, BadTransform, NotInstalled, TimedOut
from quarterdeck.modulekit import confine
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.compiler import Compiler

SECRET = "qdk_the_token_of_the_admin"
MANIFEST = b'name = "m"\n[[table]]\nname = "rows"\nfrom = "events"\nrow = "event"\n'
PROGRAM = """#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
struct event { __u32 pid; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
SEC("raw_tp/sys_enter") int entered(void *ctx)
{ struct event e = { .pid = 1 }; bpf_ringbuf_output(&events, &e, sizeof(e), 0); return 0; }
"""
GUEST = """#include "quarterdeck.h"
struct event { u32 pid; };
QD_TABLE((u32, pid))
QD_TRANSFORM(struct event, e) { QD_ROW(.pid = e->pid); }
"""
#: What confines the compiler: each mechanism by itself, and both.
WITHOUT = [("landlock",), ("namespaces",), ()]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("QD_ADMIN_TOKEN", SECRET)


@pytest.fixture(params=WITHOUT, ids=lambda without: f"without {without or 'nothing'}")
def compiler(request: pytest.FixtureRequest) -> Compiler:
    return Compiler(confined=True, without=request.param)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "admin.token"
    path.write_text(f"{SECRET}\n")
    return path


def everything_built(compiler: Compiler, source: str, **files: bytes) -> str:
    """All that the author of a module gets to see: its artefacts and settings, or what the compiler said."""
    try:
        given = {name.replace("__", "."): content for name, content in files.items()}
        built = build_module({"module.toml": MANIFEST, "m.bpf.c": source.encode(), **given}, compiler)
    except BadProgram as error:
        return "\n".join((error.message, error.hint, *error.lines))
    return "\n".join((repr(built.build), *(content.decode("latin-1") for content in built.artefacts.values())))


READS = {
    "include": '#include "{path}"',
    "import": '#import "{path}"',
    "include of a macro": '#define WHERE "{path}"\n#include WHERE',
    "from above the folder": '#include "../../../../../../../../../..{path}"',
    "embed": 'const volatile char key[64] = {{\n#embed "{path}"\n}};\nSEC("tc") int x(void *c) {{ return *key; }}',
    "incbin": '__asm__(".section .rodata\\n.incbin \\"{path}\\"\\n.text");',
    "include of the assembler": '__asm__(".include \\"{path}\\"");',
    "pragma": '#pragma GCC dependency "{path}"',
    "include_next": '#include_next "{path}"',
}  # fmt: skip


@pytest.mark.parametrize("how", READS)
def test_no_file_of_the_machine_reaches_what_is_compiled(compiler: Compiler, secret: Path, how: str) -> None:
    seen = everything_built(compiler, PROGRAM + READS[how].format(path=secret) + "\n")
    assert SECRET not in seen
    assert ", ".join(str(ord(letter)) for letter in SECRET[:8]) not in seen


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/{own}/environ", "/proc/self/fd/1", "/dev/stdin"])
def test_nothing_of_the_process_that_compiles_is_seen(compiler: Compiler, path: str) -> None:
    assert SECRET not in everything_built(compiler, f'{PROGRAM}#include "{path.format(own=os.getpid())}"\n')


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom"])
def test_a_file_without_an_end_holds_nobody(compiler: Compiler, path: str) -> None:
    with pytest.raises(BadProgram, match=r"not found|Permission denied"):
        build_module({"module.toml": MANIFEST, "m.bpf.c": f'{PROGRAM}#include "{path}"\n'.encode()}, compiler)


def test_where_namespaces_are_to_be_had_not_even_what_exists_is_told(secret: Path) -> None:
    source = f'{PROGRAM}#if __has_include("{secret}")\n#error it is there\n#endif\n'
    assert "it is there" not in everything_built(Compiler(confined=True), source)


def test_files_of_the_module_can_be_embedded(compiler: Compiler) -> None:
    source = '__asm__(".section .rodata\\n.incbin \\"src/table.h\\"\\n.text");'
    assert "forty-two" in everything_built(compiler, PROGRAM + source, table__h=b"forty-two")


def test_a_compilation_without_an_end_is_ended() -> None:
    again = "#if __INCLUDE_LEVEL__ < 100\n" + '#include "again.h"\n' * 2 + "#endif\n"
    with pytest.raises(TimedOut, match="did not finish within 2 s"):
        build_module(
            {"module.toml": MANIFEST, "m.bpf.c": f'#include "again.h"\n{PROGRAM}'.encode(), "again.h": again.encode()},
            Compiler(confined=True, seconds=2),
        )


def test_one_limit_of_time_is_for_all_that_a_build_compiles() -> None:
    compiler = Compiler(confined=True, seconds=0)
    with pytest.raises(TimedOut):
        build_module({"module.toml": MANIFEST, "m.bpf.c": PROGRAM.encode()}, compiler)


def test_a_transform_is_compiled_behind_the_same_walls(compiler: Compiler, secret: Path) -> None:
    manifest = MANIFEST + b'transform = "m.wasm.c"\n'
    files = {"module.toml": manifest, "m.bpf.c": PROGRAM.encode()}
    build_module({**files, "m.wasm.c": GUEST.encode()}, compiler)
    with pytest.raises(BadTransform) as caught:
        build_module({**files, "m.wasm.c": f'#include "{secret}"\n{GUEST}'.encode()}, compiler)
    assert SECRET not in "\n".join((str(caught.value), *caught.value.lines))


def test_where_nothing_confines_it_others_programs_are_not_compiled_and_ones_own_are() -> None:
    files = {"module.toml": MANIFEST, "m.bpf.c": PROGRAM.encode()}
    with pytest.raises(NotInstalled, match=r"cannot confine the compiler .*Landlock: switched off"):
        build_module(files, Compiler(confined=True, without=["landlock", "namespaces"]))
    assert build_module(files, Compiler(without=["landlock", "namespaces"])).build.programs == ("entered",)


def test_what_was_compiled_in_the_open_is_not_given_to_those_whose_compiler_is_confined(secret: Path) -> None:
    source = PROGRAM + READS["incbin"].format(path=secret) + "\n"
    assert SECRET in everything_built(Compiler(without=["landlock", "namespaces"]), source)
    assert SECRET not in everything_built(Compiler(confined=True), source)


def test_a_build_leaves_nothing_behind(compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    build_module({"module.toml": MANIFEST, "m.bpf.c": PROGRAM.encode()}, compiler)
    assert not list(folder.iterdir())
    assert not {path.name for path in (tmp_path / "cache").iterdir()} - {"objects", "vmlinux"}


def test_the_confined_process_has_no_sockets_and_none_of_roots_powers(tmp_path: Path) -> None:
    """Seen by Python in the compiler's place."""
    look = (
        "import os, socket\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(int(status['CapEff'], 16) & ~4, status['NoNewPrivs'].strip(), dict(os.environ).get('QD_ADMIN_TOKEN'))\n"
        "try: socket.socket()\n"
        "except PermissionError: print('no sockets')\n"
    )
    for name in ("view", "out"):
        (tmp_path / name).mkdir()
    request = confine.Request(
        command=[os.path.realpath(sys.executable), "-I", "-S", "-c", look],
        environment={},
        folder=str(tmp_path),
        reads=["/usr", "/lib", "/lib64", "/etc", "/proc", sys.base_prefix],
        writes=[str(tmp_path / "out")],
        view=str(tmp_path / "view"),
        cpu_s=10,
        memory_bytes=1 << 32,
        file_bytes=1 << 20,
        required=True,
        without=["namespaces"],
    )
    started = [sys.executable, "-I", "-S", str(confine.__file__), json.dumps(request)]
    done = subprocess.run(started, capture_output=True, text=True, check=False)
    assert done.stdout == "0 1 None\nno sockets\n", done.stderr
