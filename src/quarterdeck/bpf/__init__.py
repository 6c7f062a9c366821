"""eBPF from Python: load objects, attach programs, read rings and maps as arrays, detect the kernel's features.

    object.py        open, configure, load and close a compiled object; leave out what this kernel refuses
    attach/          attach programs, one file for each family of program types
    ring.py, perf.py records that programs send, as spans   records.py  the records of a span, as arrays
    maps.py          entries that programs store, as arrays  stats.py   the cost of programs
    features.py      the eBPF features of this host          syscall.py, libbpf.py, uapi.py  the system interfaces
    btf/, elf.py, layout.py, symbols/   types as dtypes, files, addresses as names

This package imports no other package of Quarterdeck: it has no tables, modules or agent. It never runs Python code for
a single event.
"""
