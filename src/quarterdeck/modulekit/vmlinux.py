"""vmlinux.h for programs that include it: every type of this kernel, and further types of other kernels.

The types come from the kernel's BTF. Members that the kernel no longer has (`removed_members`) and types that it was
built without (`include/quarterdeck/absent.h`) are added, because CO-RE programs name them for other kernels. It owns
the text and its place in the cache; a `vmlinux.h` in the module's folder always takes precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from quarterdeck.bpf.btf import KERNEL_BTF, Btf, Composite, DeclTag, Function, Kind
from quarterdeck.bpf.btf_dump import dump_types
from quarterdeck.bpf.errors import BpfError
from quarterdeck.model.errors import NotInstalled
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.removed_members import REMOVED_MEMBERS

INCLUDE = Path(__file__).parent / "include"
_ABSENT = INCLUDE / "quarterdeck" / "absent.h"

_HEAD = """#ifndef __VMLINUX_H__
#define __VMLINUX_H__
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
"""
_TAIL = """#include <quarterdeck/absent.h>
#ifndef BPF_NO_KFUNC_PROTOTYPES
{functions}#endif
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif
#endif
"""


def vmlinux_folder(source: Path = KERNEL_BTF) -> Path:
    """Return the folder of a generated vmlinux.h, created at the first use (0.3 s).

    Raise `NotInstalled` if the kernel has no BTF.
    """
    try:
        types = source.read_bytes()
        made_of = (types, _ABSENT.read_bytes(), repr(REMOVED_MEMBERS), _HEAD, _TAIL)
        header = cache.folder() / "vmlinux" / cache.key(*made_of)[:32] / "vmlinux.h"
        if not header.exists():
            cache.store(header, generate(source, types).encode())
    except (OSError, BpfError) as error:
        raise NotInstalled(
            f"vmlinux.h cannot be made here: {error}.",
            hint="It needs libbpf and a kernel with CONFIG_DEBUG_INFO_BTF; or put a vmlinux.h into the folder.",
        ) from error
    return header.parent


def generate(source: Path, types: bytes) -> str:
    """Return the text of vmlinux.h for the BTF in `types`, the content of `source`."""
    btf = Btf(types)
    text, functions = dump_types(source, functions=_kernel_functions(btf))
    wanted = set(re.findall(r"QD_HAS_(\w+)", _ABSENT.read_text()))
    present = {name for name in wanted if btf.find(name, Kind.STRUCT, Kind.UNION) is not None}
    defines = "".join(f"#define QD_HAS_{name}\n" for name in sorted(present))
    return _HEAD + _with_removed_members(text, btf) + defines + _TAIL.format(functions=functions)


def _kernel_functions(btf: Btf) -> dict[str, int]:
    """Yield the functions that programs may call, with the ids of their prototypes. pahole tags them."""
    found: dict[str, int] = {}
    for type_id in btf.ids(Kind.DECL_TAG):
        tag = btf.type(type_id)
        if isinstance(tag, DeclTag) and tag.name == "bpf_kfunc":
            function = btf.type(tag.target)
            if isinstance(function, Function):
                found[function.name] = function.target
    return found


def _with_removed_members(text: str, btf: Btf) -> str:
    for name, declarations in REMOVED_MEMBERS.items():
        type_id = btf.find(name, Kind.STRUCT) or btf.find(name, Kind.TYPEDEF)
        if type_id is None:
            continue
        present = set(_members(btf, type_id))
        added = "".join(f"\t{each};\n" for each in declarations if _declared_name(each) not in present)
        # The name of a typedef of an anonymous struct follows the struct: `typedef struct {…} kernel_cap_t;`
        start = re.search(rf"\n(?:struct {name} \{{|typedef struct \{{(?=[^{{}}]*\}} {name};))\n", text)
        if added and start:
            guarded = f"#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n{added}#endif\n"
            text = text[: start.end()] + guarded + text[start.end() :]
    return text


def _members(btf: Btf, type_id: int) -> Iterator[str]:
    """Return the names that can follow `x.`: members, and those of anonymous members."""
    composite = btf.resolve(type_id)
    if isinstance(composite, Composite):
        for member in composite.members:
            if member.name:
                yield member.name
            else:
                yield from _members(btf, member.type_id)


def _declared_name(declaration: str) -> str:
    return re.findall(r"(\w+)(?:\[\d+\]| : \d+)?$", declaration)[0]
