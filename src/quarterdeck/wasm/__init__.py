"""Batch transforms in WebAssembly: whole spans of records in, Arrow-layout columns out.

A transform is a guest compiled to freestanding wasm32 (`include/quarterdeck.h` is its side of the contract,
`docs/reference/wasm-abi.md` the contract in words). It runs in the agent under a memory limit and a time limit, sees
nothing but the bytes it is given, and can do nothing but log. This floor imports nothing of ours and knows nothing of
modules, tables or the kernel; compiling a guest (`build`) needs neither wasmtime nor numpy, so the wheel's build can
use it.

    errors        what can go wrong
    description   what a guest says of itself: its input, its columns, its settings
    engine        the compiler, its cache on disk, and the clock that ends endless loops
    instance      one guest in a memory of its own, called without reflection
    transform     a guest as the agent uses it: load once, run span by span
    spans         the built-in guest that finds the records of a ring or perf span
    check         whether bytes are a transform, and why not
    build         C source to wasm
"""
