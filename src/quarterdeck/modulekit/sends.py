"""The sizes of the records that programs send into ring and perf buffers, as far as their instructions show.

A `.bpf.o` does not say which struct a buffer carries, but an instruction before nearly every sending call holds the
size. It owns the analysis of eBPF instructions for that: it follows the registers from one jump target to the next. It
never guesses: unknown sizes are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.elf import Elf, Section
from quarterdeck.bpf.references import MAP_SECTIONS, relocations

_INSTRUCTION = struct.Struct("<BBhi")
_EXECUTABLE = 4  # SHF_EXECINSTR
#: helper's number → (register with the map, register with the size), from include/uapi/linux/bpf.h
_SENDING = {25: (2, 5), 111: (2, 5), 121: (2, 5), 130: (1, 3), 131: (1, 2)}
_PRINTING = {6, 177}  # bpf_trace_printk, bpf_trace_vprintk
_CALL, _EXIT, _JUMP, _LONG_JUMP, _LOAD_64 = 0x85, 0x95, 0x05, 0x06, 0x18
_MOVE_NUMBER, _MOVE_REGISTER = {0xB7, 0xB4}, {0xBF, 0xBC}
_ATOMIC = {0xC3, 0xDB}

Known = dict[int, int | str]  # register → number, or name of a map


def sent_sizes(opened: ObjectFile) -> dict[str, frozenset[int]]:
    """Return the sizes of records by buffer, only for buffers for which the size of every call is known."""
    found: dict[str, set[int]] = {}
    unknown: set[str] = set()
    for section in opened.elf.sections:
        if section.flags & _EXECUTABLE and section.size:
            maps = _maps(opened.elf, section)
            code = list(_INSTRUCTION.iter_unpack(opened.elf.content(section)[: section.size // 8 * 8]))
            for name, size in _sends(code, maps, _starts(opened, section.index)):
                if not isinstance(name, str):
                    return {}
                if isinstance(size, int):
                    found.setdefault(name, set()).add(size)
                else:
                    unknown.add(name)
    return {name: frozenset(sizes) for name, sizes in found.items() if name not in unknown}


def _maps(elf: Elf, section: Section) -> dict[int, str]:
    """Return the maps that instructions load, by the offset of the instruction."""
    symbols = elf.symbols()
    if symbols is None:
        return {}
    holders = {each.index for each in elf.sections if each.name in MAP_SECTIONS}
    found = ((offset, number) for offset, number in relocations(elf, section) if number < len(symbols))
    return {offset: symbols.name(at) for offset, at in found if int(symbols.table["section"][at]) in holders}


def prints(opened: ObjectFile) -> bool:
    """Return whether a program writes to the kernel's trace log (`bpf_printk`)."""
    contents = (opened.elf.content(section) for section in opened.elf.sections if section.flags & _EXECUTABLE)
    codes = (_INSTRUCTION.iter_unpack(content[: len(content) // 8 * 8]) for content in contents)
    return any(op == _CALL and to < 16 and number in _PRINTING for code in codes for op, to, _, number in code)


def _starts(opened: ObjectFile, section: int) -> set[int]:
    """Return the instructions at which functions of a section begin."""
    symbols = opened.elf.symbols()
    if symbols is None:
        return set()
    inside = np.flatnonzero(symbols.table["section"] == section)
    return {int(value) // 8 for value in symbols.table["value"][inside].tolist()}


def _sends(
    code: list[tuple[int, int, int, int]], maps: dict[int, str], starts: set[int]
) -> Iterator[tuple[int | str | None, int | str | None]]:
    """Yield (map, size) of each sending call; None where a register is unknown."""
    targets = {
        at + 1 + (number if op == _LONG_JUMP else off) for at, (op, _, off, number) in enumerate(code) if _jumps(op)
    }
    known: Known = {}
    at = 0
    while at < len(code):
        op, registers, _, number = code[at]
        if at in targets or at in starts:
            known.clear()
        if op == _CALL:
            if registers >> 4 == 0 and number in _SENDING:
                where, size = _SENDING[number]
                yield known.get(where), known.get(size)
            for register in range(6):
                known.pop(register, None)
        elif op in {_EXIT, _JUMP, _LONG_JUMP}:
            known.clear()
        else:
            _follow(known, code[at], maps.get(at * 8), code[at + 1][3] if at + 1 < len(code) else 0)
        at += 2 if op == _LOAD_64 else 1


def _jumps(op: int) -> bool:
    return op & 7 in {5, 6} and op not in {_CALL, _EXIT}


def _follow(known: Known, instruction: tuple[int, int, int, int], name: str | None, upper: int) -> None:
    """Update the registers for an instruction other than a jump or call."""
    op, registers, off, number = instruction
    to, source = registers & 15, registers >> 4
    value: int | str | None = None
    if op in _MOVE_NUMBER:
        value = number
    elif op in _MOVE_REGISTER and not off:
        value = known.get(source)
    elif op == _LOAD_64:
        value = name if name is not None else None if source else upper << 32 | number & 0xFFFF_FFFF
    elif op in _ATOMIC:
        known.pop(source, None)
        known.pop(0, None)
        return
    elif op & 7 in {2, 3} or _jumps(op):  # a store or a conditional jump changes no register
        return
    known.pop(to, None)
    if value is not None:
        known[to] = value
