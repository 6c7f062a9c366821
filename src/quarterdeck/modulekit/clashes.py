"""Names that a program and the generated vmlinux.h both define: the kernel's get another name.

A kernel has a hundred thousand names, some as short as `key`, `config` or `DROP`, and the vmlinux.h that a program was
written with had others. Owns the renaming, which the compiler's own words lead to: `x` becomes `x___kernel`. CO-RE
ignores what follows three underscores, so a renamed type or enumerator still is the kernel's.
"""

from __future__ import annotations

import re

_PREVIOUS = re.compile(r"vmlinux\.h:(\d+):(\d+): note: previous (?:definition|declaration) is here")


def rename_clashes(header: str, said: str) -> str | None:
    """The text of vmlinux.h without the names that the compiler found defined before; None if it named none there."""
    lines = header.split("\n")
    renamed: set[str] = set()
    for line, column in _PREVIOUS.findall(said):
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
        return header  # an enumerator: nothing else in the header mentions it
    # A typedef is used before a name, a star or a parenthesis; members of that name are followed by none of them.
    return re.sub(rf"\b{name}\b(?=\s+[\w*]|\s*\))", f"{name}___kernel", header)
