"""Names that a program and the generated vmlinux.h both define: the kernel's are renamed.

A kernel has a hundred thousand names, some as short as `key`, `config` or `DROP`, and the vmlinux.h that a program was
written for had others. This module owns the renaming of `x` to `x___kernel`, for the names in the compiler's messages.
CO-RE ignores everything after three underscores, so a renamed type or enumerator is still the kernel's.
"""

from __future__ import annotations

import re

_PREVIOUS = re.compile(r"vmlinux\.h:(\d+):(\d+): note: previous (?:definition|declaration) is here")


def rename_clashes(header: str, output: str) -> str | None:
    """Return the text of vmlinux.h without the names that the compiler reported as defined before; None without any."""
    lines = header.split("\n")
    renamed: set[str] = set()
    for line, column in _PREVIOUS.findall(output):
        index = int(line) - 1
        found = re.match(r"\w+", lines[index][int(column) - 1 :]) if index < len(lines) else None
        if found and found[0] not in renamed:
            renamed.add(found[0])
            header = _rename(header, lines[index], found[0])
    return header if renamed else None


def _rename(header: str, line: str, name: str) -> str:
    tag = re.match(rf"(?:typedef )?(struct|union|enum) {name} \{{", line)
    if tag:
        return re.sub(rf"\b{tag[1]} {name}\b", f"{tag[1]} {name}___kernel", header)
    new = re.sub(rf"\b{name}\b", f"{name}___kernel", line)
    header = header.replace(f"\n{line}\n", f"\n{new}\n", 1)
    if not line.startswith(("typedef ", "}")):
        return header  # an enumerator: the header does not use it anywhere else
    # A typedef is used before a name, a star or a parenthesis; members of that name are not.
    return re.sub(rf"\b{name}\b(?=\s+[\w*]|\s*\))", f"{name}___kernel", header)
