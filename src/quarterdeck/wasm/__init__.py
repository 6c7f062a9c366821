"""Batch transforms in WebAssembly: whole spans of records as input, columns in Arrow's layout as output.

A transform is a guest compiled to freestanding wasm32. `include/quarterdeck.h` is its side of the contract, and
`docs/reference/wasm-abi.md` describes the contract. A guest runs in the agent under a memory limit and a time limit; it
can read only its input and can call nothing but the log. This package imports no other package of Quarterdeck and does
not depend on modules, tables or the kernel. `build` needs neither wasmtime nor numpy, so that the build of the wheel
can use it.

    errors        the errors of this package
    description   a guest's description of itself: its input, its columns, its settings
    engine        the compiler, its cache on disk, and the clock that ends endless loops
    instance      one guest in a memory of its own, called without reflection
    transform     a guest as the agent uses it: load once, run span by span
    spans         the built-in guest that finds the records of a ring or perf span
    check         the check that bytes are a transform
    build         C source to wasm
"""
