"""Module folders: read, compiled, understood and checked, into what the server stores and agents run.

    folder      a module's files, by name, within limits
    manifest    module.toml → Manifest, with the place of every mistake; `rules` are what it must say
    compile     C → eBPF object, cached; `vmlinux` makes the kernel's types, `strip` drops DWARF
    programs    the object's programs and the maps each refers to
    plan        a table's source: which bytes of which map or variable; `columns`, `overrides`, `meanings` name them
    settings    `const volatile` globals, and the check of values for them
    transforms  WASM that makes a table's columns
    check       whether what the manifest names is in the program
    build       all of that in order: `build_module(files) -> Built`
    builtin     the modules that come with us

Nothing here loads a program or talks to a server.
"""
