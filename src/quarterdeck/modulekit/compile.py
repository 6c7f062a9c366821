"""C → eBPF object, with the clang in the PyPI package `ziglang`: the machine needs no compiler of its own.

It owns the command line, the include path, the cache and the form of compiler messages. A `.bpf.c` can include files of
its own folder, `vmlinux.h`, `<bpf/…>` (the system's libbpf-dev, with additions for newer programs), and the kernel's
`<linux/…>` and `<asm/…>`. It never reads the object; `programs` does.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from quarterdeck.model.errors import BadProgram, NotInstalled
from quarterdeck.model.losses import KERNEL_LOSS_SLOTS
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.clashes import rename_clashes
from quarterdeck.modulekit.compiler import Compiler, Workplace, workplace, ziglang
from quarterdeck.modulekit.strip import strip_debug
from quarterdeck.modulekit.vmlinux import INCLUDE, vmlinux_folder

_SHOWN_LINES = 60  # lines of a compiler's output that are shown
_MAX_RENAMINGS = 5  # rounds of renaming; the compiler reports 20 errors in each

#: the kernel's name of a machine → (name in libbpf's headers, folder of <asm/…> in ziglang)
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
    # Mistakes that older compilers accepted, and that working programs therefore contain:
    *("-Wno-error=int-conversion", "-Wno-error=incompatible-pointer-types", "-Wno-error=implicit-int"),
    *("-Wno-error=incompatible-function-pointer-types", "-Wno-error=return-type"),
    *("-fms-extensions", "-fno-caret-diagnostics", "-fno-color-diagnostics", "-ferror-limit=20"),
)
#: names that a C source gives to a struct or union; BTF must keep those named in `row =` and similar keys. Without
#: backtracking (`++`, `*+`, `?+`): the source may come from anyone, and must not make the search slow
_ATTRIBUTE = r"(?:__attribute__\s*+\(\((?:[^(){};]|\([^(){};]*+\))*+\)\)\s*+)?+"
_DEFINES = re.compile(rf"\b(struct|union)\s++{_ATTRIBUTE}(\w++)\s*+{_ATTRIBUTE}\{{")
_PLAIN_TYPE = re.compile(r"(__)?[us](8|16|32|64)|int|long|char|bool|short|unsigned.*|float|double|size_t|.*_t")


def compile_program(files: Mapping[str, bytes], program: str, compiler: Compiler, *, keep: Iterable[str] = ()) -> bytes:
    """Return the stripped object of `program`, one of `files`. `keep` names C types whose layout must be in its BTF.

    Raise `BadProgram` with the compiler's output, `NotInstalled` with the part that is missing on this machine.
    """
    sources = {name: content for name, content in files.items() if name.endswith((".c", ".h", ".inc", ".def"))}
    unit = _unit(program, _kept_types(sources, keep))
    own_vmlinux = _own_vmlinux(sources)
    mentioned = any(b"vmlinux.h" in content for content in sources.values())
    includes = _includes(with_vmlinux=mentioned and own_vmlinux is None)
    versions = (importlib.metadata.version("ziglang"), platform.machine(), repr(_FLAGS), repr(_defines(sources)))
    # the output of an unconfined compiler may contain files that only its user can read
    versions += (repr(compiler.confined),)
    stamps = [f"{path}:{_stamp(path)}" for path in includes]
    content = [part for name in sorted(sources) for part in (name, sources[name])]
    cached = cache.folder() / "objects" / f"{cache.key(*versions, *stamps, unit, *content)}.o"
    if cached.exists():
        return cached.read_bytes()
    image = strip_debug(_compile(sources, unit, includes, own_vmlinux, compiler))
    cache.store(cached, image)
    return image


def _kept_types(sources: Mapping[str, bytes], keep: Iterable[str]) -> list[str]:
    """Return `keep` in C's form: `event` becomes `struct event` if a source defines that."""
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
    """Return (struct or union, name) of every type that the sources define, except in vmlinux.h and its includes."""
    kernels = [name for name in sources if Path(name).name.startswith("vmlinux")]
    own = [content.decode("utf-8", "replace") for name, content in sources.items() if name not in kernels]
    return [(str(tag), str(name)) for text in own for tag, name in _DEFINES.findall(text)]


def _is_typedef(sources: Mapping[str, bytes], name: str) -> bool:
    end = rf"\b{re.escape(name)}\s*+;"
    pattern = re.compile(rf"\}}\s*+{end}|\btypedef\b[^;{{}}]{{0,300}}?{end}".encode())
    return any(pattern.search(content) for content in sources.values())


def defined_types(files: Mapping[str, bytes]) -> list[str]:
    """Return the structs and unions that a module's sources define, for messages about missing ones."""
    return sorted({name for _, name in _defined({n: c for n, c in files.items() if n.endswith((".c", ".h"))})})


def _unit(program: str, kept: list[str]) -> str:
    """Return the translation unit: the program, and uncalled functions that keep their parameters' types in BTF.

    eBPF functions have at most five parameters, so there is one function for each type.
    """
    functions = [f"static __attribute__((used)) void qd_row_{n}({name} *row) {{}}\n" for n, name in enumerate(kept)]
    return "".join((f'#include "{program}"\n', *functions))


def _defines(sources: Mapping[str, bytes]) -> list[str]:
    target = _MACHINES.get(platform.machine())
    if target is None:
        raise NotInstalled(
            f"Programs cannot be compiled on {platform.machine()}.",
            hint=f"Build on {', '.join(_MACHINES)} and give the finished .bpf.o instead.",
        )
    slots = [f"-DQD_{reason.name}={index}" for index, reason in enumerate(KERNEL_LOSS_SLOTS)]
    # A type that the program declares must not be declared by absent.h too.
    own = sorted({f"-DQD_HAS_{name}" for _, name in _defined(sources)})
    return [f"-D__TARGET_ARCH_{target[0]}", f"-DQD_LOSS_SLOTS={len(KERNEL_LOSS_SLOTS)}", *slots, *own]


def _own_vmlinux(sources: Mapping[str, bytes]) -> Path | None:
    """Return the folder, in the module, of the module's own vmlinux.h for this machine, or one named `x86` …"""
    folders = {Path(name).parent for name in sources if Path(name).name == "vmlinux.h"}
    here = [folder for folder in folders if folder == Path() or folder.name == _MACHINES[platform.machine()][0]]
    return min(here or (folders if len(folders) == 1 else []), default=None)


def _includes(*, with_vmlinux: bool) -> list[Path]:
    """Return the include path that follows the module's own folder."""
    library = _zig_headers()
    system = Path("/usr/include")
    multiarch = system / f"{platform.machine()}-linux-gnu"
    found = [INCLUDE, *([vmlinux_folder()] if with_vmlinux else [])]
    found += [library / "any-linux-any", library / _MACHINES[platform.machine()][1], system, multiarch]
    return [path for path in found if path.is_dir()]


def _zig_headers() -> Path:
    return ziglang() / "lib" / "libc" / "include"


def _stamp(path: Path) -> str:
    """Return a text that changes with our headers or the system's libbpf; generated folders are named by content."""
    headers = [*sorted((path / "bpf").glob("*.h")), *sorted((path / "quarterdeck").glob("*.h"))]
    return cache.key(*(header.read_bytes() for header in headers))


def _compile(
    sources: Mapping[str, bytes], unit: str, includes: list[Path], own_vmlinux: Path | None, compiler: Compiler
) -> bytes:
    with workplace(sources) as place:
        (place.folder / "unit.c").write_text(unit)
        if own_vmlinux is not None:
            includes = [place.sources / own_vmlinux, *includes]
        # Programs often declare kernel functions themselves; those of vmlinux.h are for the others.
        own_functions = ["-DBPF_NO_KFUNC_PROTOTYPES", *_defines(sources)]
        image, messages = _run(compiler, place, includes, own_functions)
        for _ in range(_MAX_RENAMINGS):
            clashless = None if image else _without_clashes(includes, messages, place)
            if clashless is None:
                break
            includes = clashless
            image, messages = _run(compiler, place, includes, own_functions)
        if image is None and "undeclared" in messages:
            image, _ = _run(compiler, place, includes, _defines(sources))
        if image is None:
            raise _compile_error(messages, place, includes)
        return image


def _without_clashes(includes: list[Path], messages: str, place: Workplace) -> list[Path] | None:
    """Return the include path with a vmlinux.h without names that the program defines; None if no name clashes."""
    at = next((index for index, path in enumerate(includes) if (path / "vmlinux.h").exists()), None)
    text = None if at is None else rename_clashes((includes[at] / "vmlinux.h").read_text(), messages)
    if at is None or text is None:
        return None
    copy = place.folder / "vmlinux"
    copy.mkdir(exist_ok=True)
    (copy / "vmlinux.h").write_text(text)
    return [*includes[:at], copy, *includes[at + 1 :]]


def _run(compiler: Compiler, place: Workplace, includes: list[Path], defines: list[str]) -> tuple[bytes | None, str]:
    """Return the object or None, and the compiler's output."""
    paths = [part for path in includes for part in ("-isystem", str(path))]
    output = place.out / "out.o"
    roots = [(f"{place.folder}", "."), (f"{INCLUDE}/", ""), (f"{_zig_headers()}/", ""), (f"{place.sources}/", "")]
    prefix = [f"-ffile-prefix-map={old}={new}" for old, new in roots]  # the last matching prefix is used
    arguments = [*_FLAGS, *defines, *prefix, "-I", str(place.sources), *paths]
    headers = [path for path in includes if not path.is_relative_to(place.folder)]
    compiled, messages = compiler.run([*arguments, "-c", f"{place.folder}/unit.c", "-o", str(output)], place, headers)
    return (output.read_bytes() if compiled else None), messages


def _compile_error(messages: str, place: Workplace, includes: list[Path]) -> BadProgram:
    text = messages
    for path in (place.sources, *includes, place.folder):
        text = text.replace(f"{path}/", "")
    lines = tuple(
        line for line in text.splitlines() if line.strip() and not line.startswith("In file included from unit.c")
    )
    first = next((line for line in lines if "error:" in line), lines[-1] if lines else "the compiler gave no output")
    return BadProgram(f"The program does not compile: {first}", hint=_hint(text), lines=lines[:_SHOWN_LINES])


def _hint(text: str) -> str:
    """Return a hint for mistakes that have one cause."""
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
