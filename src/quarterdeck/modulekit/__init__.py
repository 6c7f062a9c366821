"""Module folders: read, compiled, analysed and checked, with the result that the server stores and agents run.

    folder      a module's files, by name, within limits
    manifest    module.toml → Manifest, with the line of every mistake; `rules` has the conditions it must meet
    compile     C → eBPF object, cached; `vmlinux` generates the kernel's types, `strip` removes DWARF
    compiler    runs the compiler where it can read only the module; `confine` is the script that does this
    programs    the object's programs and the maps that each refers to
    plan        the source of a table: bytes of a map or variable; `columns`, `overrides`, `meanings` define its columns
    settings    `const volatile` globals, and the check of values for them
    transforms  WASM that makes a table's columns
    check       the check that the names in the manifest exist in the program
    writers     the programs that run, and those that fill each table
    advice      warnings about modules that work, but perhaps not as their author intends
    build       all of these steps in order: `build_module(files) -> Built`
    builtin     the built-in modules

This package never loads a program and never talks to a server.
"""
