"""C → eBPF object, with the clang inside the PyPI package `ziglang`: no compiler has to be on the machine.

Owns the command line, the include path, the cache and the way compiler messages are shown. What a `.bpf.c` may
include: its own folder, `vmlinux.h`, `<bpf/…>` (the system's libbpf-dev, with additions of ours for newer programs),
the kernel's `<linux/…>` and `<asm/…>`. Never looks inside the object; that is `program`'s.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from quarterdeck.model.errors import BadProgram, NotInstalled, TimedOut
from quarterdeck.model.losses import KERNEL_LOSS_SLOTS
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.clashes import rename_clashes
from quarterdeck.modulekit.strip import strip_debug
from quarterdeck.modulekit.vmlinux import INCLUDE, vmlinux_folder

TIME_LIMIT_S = 120
_SHOWN_LINES = 60  # of a compiler's output
_MAX_RENAMINGS = 5  # rounds; the compiler shows 20 errors at a time

#: machine as the kernel names it → (as libbpf's headers do, folder of <asm/…> in ziglang)
_MACHINES = {
    "x86_64": ("x86", "x86-linux-any"),
    "aarch64": ("arm64", "aarch64-linux-any"),
    "riscv64": ("riscv", "riscv-linux-any"),
    "s390x": ("s390", "s390x-linux-any"),
    "ppc64le": ("powerpc", "powerpc-linux-any"),
}
_FLAGS = (
    *(
        "-target",
        "bpfel-freestanding",
        "-mcpu=v3",
        "-O2",
        "-g",
        "-fno-stack-protector",
        "-fno-sanitize=all",
        "-fhosted",
        "-fbuiltin",
    ),
    *("-Wall", "-Wno-unknown-attributes", "-Wno-missing-declarations", "-Wno-unused", "-Wno-pointer-sign"),
    *(
        "-Wno-compare-distinct-pointer-types",
        "-Wno-address-of-packed-member",
        "-Wno-visibility",
        "-Wno-microsoft-anon-tag",
    ),
    # Mistakes that older compilers let pass, and so are found in programs that work:
    *("-Wno-error=int-conversion", "-Wno-error=incompatible-pointer-types", "-Wno-error=implicit-int"),
    *("-Wno-error=incompatible-function-pointer-types", "-Wno-error=return-type"),
    *("-fms-extensions", "-fno-caret-diagnostics", "-fno-color-diagnostics", "-ferror-limit=20"),
)
#: Names a C source gives to a struct or union; those named in `row =` and the like must be kept in BTF.
_DEFINES = r"\b(struct|union)\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?(\w+)\s*(?:__attribute__\s*\(\(.*?\)\)\s*)?\{"
_PLAIN_TYPE = re.compile(r"(__)?[us](8|16|32|64)|int|long|char|bool|short|unsigned.*|float|double|size_t|.*_t")


def compile_program(files: Mapping[str, bytes], program: str, *, keep: Iterable[str] = ()) -> bytes:
    """The stripped object of `program`, one of `files`; `keep` names the C types whose layout must be in its BTF.

    BadProgram carries the compiler's own lines; NotInstalled names the part that is missing on this machine.
    """
    sources = {name: content for name, content in files.items() if name.endswith((".c", ".h", ".inc", ".def"))}
    unit = _unit(program, _kept_types(sources, keep))
    own_vmlinux = _own_vmlinux(sources)
    mentioned = any(b"vmlinux.h" in content for content in sources.values())
    includes = _includes(with_vmlinux=mentioned and own_vmlinux is None)
    versions = (importlib.metadata.version("ziglang"), platform.machine(), repr(_FLAGS), repr(_defines(sources)))
    stamps = [f"{path}:{_stamp(path)}" for path in includes]
    content = [part for name in sorted(sources) for part in (name, sources[name])]
    cached = cache.folder() / "objects" / f"{cache.key(*versions, *stamps, unit, *content)}.o"
    if cached.exists():
        return cached.read_bytes()
    image = strip_debug(_compile(sources, unit, includes, own_vmlinux))
    cache.store(cached, image)
    return image


def _kept_types(sources: Mapping[str, bytes], keep: Iterable[str]) -> list[str]:
    """`keep` as C spells them: `event` becomes `struct event` where a source defines that."""
    tags = {name: tag for tag, name in _defined(sources)}
    spelled: list[str] = []
    for name in dict.fromkeys(keep):
        if " " in name or name in tags:
            spelled.append(name if " " in name else f"{tags[name]} {name}")
        elif _PLAIN_TYPE.fullmatch(name) or _is_typedef(sources, name):
            spelled.append(name)
        else:
            spelled.append(f"struct {name}")
    return spelled


def _defined(sources: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """(struct or union, name) of all that the sources define, vmlinux.h and what it is made of left out."""
    kernels = [name for name in sources if Path(name).name.startswith("vmlinux")]
    own = [content.decode("utf-8", "replace") for name, content in sources.items() if name not in kernels]
    return [(str(tag), str(name)) for text in own for tag, name in re.findall(_DEFINES, text)]


def _is_typedef(sources: Mapping[str, bytes], name: str) -> bool:
    pattern = re.compile(rf"\}}\s*{re.escape(name)}\s*;|\btypedef\b[^;{{}}]*\b{re.escape(name)}\s*;".encode())
    return any(pattern.search(content) for content in sources.values())


def defined_types(files: Mapping[str, bytes]) -> list[str]:
    """The structs and unions that a module's sources define, for messages about those that are missing."""
    return sorted({name for _, name in _defined({n: c for n, c in files.items() if n.endswith((".c", ".h"))})})


def _unit(program: str, kept: list[str]) -> str:
    """The translation unit: the program, and a function that is never called but keeps its parameters' types in BTF."""
    unit = f'#include "{program}"\n'
    if kept:
        parameters = ", ".join(f"{name} *qd_{index}" for index, name in enumerate(kept))
        unit += f"static __attribute__((used)) void qd_rows({parameters}) {{}}\n"
    return unit


def _defines(sources: Mapping[str, bytes]) -> list[str]:
    target = _MACHINES.get(platform.machine())
    if target is None:
        raise NotInstalled(
            f"Programs cannot be compiled on {platform.machine()}.",
            hint=f"Build on {', '.join(_MACHINES)} and give the finished .bpf.o instead.",
        )
    slots = [f"-DQD_{reason.name}={index}" for index, reason in enumerate(KERNEL_LOSS_SLOTS)]
    # A type that the program declares itself must not come from absent.h too.
    own = sorted({f"-DQD_HAS_{name}" for _, name in _defined(sources)})
    return [f"-D__TARGET_ARCH_{target[0]}", f"-DQD_LOSS_SLOTS={len(KERNEL_LOSS_SLOTS)}", *slots, *own]


def _own_vmlinux(sources: Mapping[str, bytes]) -> Path | None:
    """The folder, in the module, of the vmlinux.h that it brings for this machine: its own, or one named `x86` …"""
    folders = {Path(name).parent for name in sources if Path(name).name == "vmlinux.h"}
    here = [folder for folder in folders if folder == Path() or folder.name == _MACHINES[platform.machine()][0]]
    return min(here or (folders if len(folders) == 1 else []), default=None)


def _includes(*, with_vmlinux: bool) -> list[Path]:
    """The include path behind the module's own folder."""
    library = _zig_library()
    system = Path("/usr/include")
    multiarch = system / f"{platform.machine()}-linux-gnu"
    found = [INCLUDE, *([vmlinux_folder()] if with_vmlinux else [])]
    found += [library / "any-linux-any", library / _MACHINES[platform.machine()][1], system, multiarch]
    return [path for path in found if path.is_dir()]


def _zig_library() -> Path:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled(
            "C cannot be compiled here: the Python package ziglang is not installed.",
            hint="Install it with `pip install 'quarterdeck[build]'`, or give a compiled .bpf.o instead of the .bpf.c.",
        )
    return Path(spec.submodule_search_locations[0]) / "lib" / "libc" / "include"


def _stamp(path: Path) -> str:
    """What changes when headers of ours or of the system's libbpf do; generated folders are named by content."""
    headers = [*sorted((path / "bpf").glob("*.h")), *sorted((path / "quarterdeck").glob("*.h"))]
    return cache.key(*(header.read_bytes() for header in headers))


def _compile(sources: Mapping[str, bytes], unit: str, includes: list[Path], own_vmlinux: Path | None) -> bytes:
    with tempfile.TemporaryDirectory(prefix="qd-build-") as name:
        folder = Path(name).resolve()
        for source, content in sources.items():
            path = folder / "src" / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "unit.c").write_text(unit)
        if own_vmlinux is not None:
            includes = [folder / "src" / own_vmlinux, *includes]
        # Programs bring declarations of kernel functions of their own; those of vmlinux.h help only who brings none.
        own_functions = ["-DBPF_NO_KFUNC_PROTOTYPES", *_defines(sources)]
        image, said = _run(folder, includes, own_functions)
        for _ in range(_MAX_RENAMINGS):
            clashless = None if image else _without_clashes(includes, said, folder)
            if clashless is None:
                break
            includes = clashless
            image, said = _run(folder, includes, own_functions)
        if image is None and "undeclared" in said:
            image, _ = _run(folder, includes, _defines(sources))
        if image is None:
            raise _compile_error(said, folder, includes)
        return image


def _without_clashes(includes: list[Path], said: str, folder: Path) -> list[Path] | None:
    """The include path with a vmlinux.h that does not define what the program does; None if that is not the trouble."""
    at = next((index for index, path in enumerate(includes) if (path / "vmlinux.h").exists()), None)
    text = None if at is None else rename_clashes((includes[at] / "vmlinux.h").read_text(), said)
    if at is None or text is None:
        return None
    copy = folder / "vmlinux"
    copy.mkdir(exist_ok=True)
    (copy / "vmlinux.h").write_text(text)
    return [*includes[:at], copy, *includes[at + 1 :]]


def _run(folder: Path, includes: list[Path], defines: list[str]) -> tuple[bytes | None, str]:
    """(the object or None, what the compiler said)."""
    paths = [part for path in includes for part in ("-isystem", str(path))]
    output = folder / "out.o"
    roots = [(f"{folder}", "."), (f"{INCLUDE}/", ""), (f"{_zig_library()}/", ""), (f"{folder}/src/", "")]
    prefix = [f"-ffile-prefix-map={old}={new}" for old, new in roots]  # the last that fits is used
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, *defines, *prefix, "-I", f"{folder}/src", *paths]
    zig = cache.folder() / "zig"
    environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(zig), "ZIG_LOCAL_CACHE_DIR": str(zig)}
    try:
        done = subprocess.run(
            [*command, "-c", f"{folder}/unit.c", "-o", str(output)],
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
            cwd=folder,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"The compiler did not finish within {TIME_LIMIT_S} s.") from error
    said = (done.stderr + done.stdout).decode("utf-8", "replace")
    return (output.read_bytes() if done.returncode == 0 and output.exists() else None), said


def _compile_error(said: str, folder: Path, includes: list[Path]) -> BadProgram:
    text = said
    for path in (folder / "src", *includes, folder):
        text = text.replace(f"{path}/", "")
    lines = tuple(
        line for line in text.splitlines() if line.strip() and not line.startswith("In file included from unit.c")
    )
    first = next((line for line in lines if "error:" in line), lines[-1] if lines else "the compiler said nothing")
    return BadProgram(f"The program does not compile: {first}", hint=_hint(text), lines=lines[:_SHOWN_LINES])


def _hint(text: str) -> str:
    """What to do about mistakes that have one cause."""
    header = re.search(r"'(bpf/[\w.]+)' file not found", text)
    if header:
        return "The headers of libbpf are needed: install libbpf-dev (Debian, Ubuntu) or libbpf-devel (Fedora, RHEL)."
    header = re.search(r"'([\w./-]+)' file not found", text)
    if header:
        return (
            f"Put {header[1]} into the module's folder; only headers there, <bpf/…>, <linux/…> and vmlinux.h are found."
        )
    member = re.search(r"no member named '(\w+)' in '(?:struct |union )?(\w+)'", text)
    unknown = re.search(r"incomplete (?:definition of )?type '(?:const |volatile )*struct (\w+)'", text)
    missing = f"member '{member[1]}' of struct {member[2]}" if member else f"struct {unknown[1]}" if unknown else ""
    if missing:
        name = member[2] if member else unknown[1] if unknown else ""
        return (
            f"If {missing} belongs to another kernel than this one, put the vmlinux.h it was written with into "
            f"the folder, or declare what it needs: struct {name}___old {{ … }} "
            "__attribute__((preserve_access_index));"
        )
    return ""
