"""BTF, the type information of eBPF objects and of the running kernel (Documentation/bpf/btf.rst).

`Btf` is the graph of types, parsed lazily; the other names are the kinds of its types. This package has no knowledge of
their use: `declarations` reads what an object declares with them, and `layout` the arrangement of their bytes.
"""

from quarterdeck.bpf.btf.decode import BtfError
from quarterdeck.bpf.btf.graph import KERNEL_BTF, Btf
from quarterdeck.bpf.btf.types import (
    Array,
    BtfType,
    Composite,
    DataSection,
    DeclTag,
    Enum,
    Float,
    Forward,
    Function,
    Int,
    Kind,
    Member,
    Modifier,
    Parameter,
    Placement,
    Pointer,
    Prototype,
    Variable,
    Void,
)

__all__ = [
    "KERNEL_BTF",
    "Array",
    "Btf",
    "BtfError",
    "BtfType",
    "Composite",
    "DataSection",
    "DeclTag",
    "Enum",
    "Float",
    "Forward",
    "Function",
    "Int",
    "Kind",
    "Member",
    "Modifier",
    "Parameter",
    "Placement",
    "Pointer",
    "Prototype",
    "Variable",
    "Void",
]
