"""Names for addresses: kernel and user stack frames as functions, a whole column at once.

Other packages need only `Symbolizer`. An address without a name keeps the known facts: the file, its build id and the
offset in it, so that it can later be resolved with debug symbols.
"""

from quarterdeck.bpf.symbols.symbolizer import Symbolizer

__all__ = ["Symbolizer"]
