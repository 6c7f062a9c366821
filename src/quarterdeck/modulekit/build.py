"""A module folder's files → `Build` and its artefacts: read, compile, analyse, check.

It owns the order of these steps, and translates every error into one that the author can act on. It loads no program.
The same files always give the same digest on machines with the same compiler.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.errors import BpfError
from quarterdeck.model.errors import BadManifest, BadProgram
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.modules import TRANSFORM_SECTION, Artefact, Build, TableSource
from quarterdeck.modulekit.advice import advice
from quarterdeck.modulekit.check import check_references
from quarterdeck.modulekit.compile import compile_program, defined_types
from quarterdeck.modulekit.compiler import Compiler
from quarterdeck.modulekit.defaults import completed
from quarterdeck.modulekit.folder import MANIFEST, check_files
from quarterdeck.modulekit.manifest import parse_manifest
from quarterdeck.modulekit.meanings import is_event
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.plan import Planner
from quarterdeck.modulekit.programs import programs_of
from quarterdeck.modulekit.settings import described_settings, program_settings, transform_settings
from quarterdeck.modulekit.tags import check_shared
from quarterdeck.modulekit.transforms import build_transform, transformed
from quarterdeck.modulekit.writers import running
from quarterdeck.wasm.description import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished module: the struct that is sent to agents, and the contents that it names by sha256."""

    build: Build
    artefacts: dict[str, bytes]  #: sha256 → content


def build_module(files: Mapping[str, bytes], compiler: Compiler | None = None) -> Built:
    """Build the module that consists of these files (paths below its folder → content).

    Raise `BadInput` or a subclass for mistakes of the author, `NotInstalled` when a compiler or headers are missing,
    and `TimedOut` when the compiler exceeds its time limit.
    """
    compiler = compiler or Compiler()
    check_files(files)
    manifest = parse_manifest(files[MANIFEST])
    image = _object(files, manifest, compiler)
    names = dict.fromkeys(spec.transform for spec in manifest.table if spec.transform)
    transforms = {name: build_transform(files, name, compiler) for name in names}
    try:
        return _finish(files, manifest, image, transforms)
    except BpfError as error:
        raise BadProgram(f"{_program_file(files, manifest)}: {error}.") from error


def _finish(
    files: Mapping[str, bytes], manifest: Manifest, image: bytes, transforms: Mapping[str, tuple[bytes, Description]]
) -> Built:
    opened = ObjectFile(image)
    programs = programs_of(opened)
    warnings = check_references(manifest, opened, programs)
    manifest, assumed = completed(manifest, programs)
    manifest, runs = running(manifest, programs)
    settings = [
        *program_settings(opened, manifest.settings),
        *transform_settings(described for _, described in transforms.values()),
    ]
    numbers = [each.name for each in settings if each.type in {"int", "uint"} and each.section != TRANSFORM_SECTION]
    planner = Planner(manifest.name, opened, runs, defined_types(files), numbers)
    sources: list[TableSource] = []
    for spec in manifest.table:
        if spec.transform:
            described = transforms[spec.transform][1]
            sources.append(transformed(planner.outline(spec), spec, described, _wasm_name(spec.transform)))
        else:
            sources.append(planner.source(spec))
    check_shared(sources)
    object_artefact = _artefact(f"{manifest.name}.bpf.o", image)
    transform_artefacts = tuple(_artefact(_wasm_name(name), wasm) for name, (wasm, _) in transforms.items())
    build = Build(
        manifest=manifest,
        digest=_digest(manifest, object_artefact, *transform_artefacts),
        object=object_artefact,
        transforms=transform_artefacts,
        programs=tuple(program.name for program in programs),
        settings=described_settings(settings, manifest),
        sources=tuple(sources),
        warnings=(
            *warnings,
            *assumed,
            *dict.fromkeys(planner.warnings),
            *advice(manifest, sources, opened=opened, programs=programs),
        ),
    )
    contents = [image, *(wasm for wasm, _ in transforms.values())]
    return Built(build=build, artefacts={hashlib.sha256(content).hexdigest(): content for content in contents})


def _object(files: Mapping[str, bytes], manifest: Manifest, compiler: Compiler) -> bytes:
    """Return the object's bytes, compiled from the program's source or prebuilt."""
    name = _program_file(files, manifest)
    if not name.endswith(".c"):
        return files[name]
    tables = [spec for spec in manifest.table if not spec.transform or spec.row]
    keep = [named for spec in tables for named in (spec.row, spec.key, spec.value) if named]
    if any(not spec.row for spec in tables):
        keep += [each for each in defined_types(files) if is_event(each)]
    return compile_program(files, name, compiler, keep=keep)


def _program_file(files: Mapping[str, bytes], manifest: Manifest) -> str:
    """Return the program's file: the manifest's `program`, NAME.bpf.c, NAME.bpf.o, or the only such file."""
    if manifest.program:
        if manifest.program not in files:
            raise BadManifest(
                f"{MANIFEST}: program '{manifest.program}' is not in the module's folder.",
                hint=nearest(manifest.program, files),
            )
        return manifest.program
    for name in (f"{manifest.name}.bpf.c", f"{manifest.name}.bpf.o"):
        if name in files:
            return name
    for ending in (".bpf.c", ".bpf.o"):
        found = [name for name in files if name.endswith(ending)]
        if len(found) == 1:
            return found[0]
    raise BadManifest(
        f"There is no {manifest.name}.bpf.c in the module.",
        hint='Name the program\'s file so, or say which it is: program = "FILE.bpf.c" in module.toml.',
    )


def _wasm_name(transform: str) -> str:
    return transform.removesuffix(".c")


def _artefact(name: str, content: bytes) -> Artefact:
    return Artefact(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _digest(manifest: Manifest, *artefacts: Artefact) -> str:
    digest = hashlib.sha256(msgspec.json.encode(manifest, order="sorted"))
    for artefact in artefacts:
        digest.update(f"{artefact.name} {artefact.sha256}\n".encode())
    return digest.hexdigest()
