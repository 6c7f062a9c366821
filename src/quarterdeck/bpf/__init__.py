"""eBPF from Python: load objects, attach programs, read rings and maps as arrays, know what the kernel can do.

    object.py        open, set up, load and close a compiled object; leave out what this kernel cannot take
    attach/          hang programs where they belong, one file a family
    ring.py, perf.py what programs send, in whole spans       records.py  the records of a span, as arrays
    maps.py          what programs keep, as arrays            stats.py    what programs cost
    features.py      what this host can do                    syscall.py, libbpf.py, uapi.py  the ways down
    btf/, elf.py, layout.py, symbols/   types as dtypes, files, addresses as names

Imports nothing of ours: no tables, no modules, no agent. Nothing here runs for a single event in Python.
"""
