"""Names for addresses: kernel and user stack frames as functions, a whole column at once.

`Symbolizer` is all that others need. Addresses nobody can name keep what is known of them: the file, its build id and
the offset in it, so that a later look with debug symbols still finds the place.
"""

from quarterdeck.bpf.symbols.symbolizer import Symbolizer

__all__ = ["Symbolizer"]
