"""Addresses of type `ip`: sixteen bytes, and a number that distinguishes IPv4 and IPv6.

It owns the search for that number: the member that the manifest names, else the only member with a suitable name.
Without one, the address itself must show it (`::ffff:a.b.c.d`). It never reads rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec.structs import replace as changed

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.modules import FieldKind
from quarterdeck.model.tables import ColumnType
from quarterdeck.modulekit.columns import Draft, aliases
from quarterdeck.modulekit.conversions import is_whole_number
from quarterdeck.modulekit.names import nearest

_NAMES = frozenset(
    {"family", "af", "sa_family", "addr_family", "address_family", "ip_version", "ipversion", "ipver", "ip_ver", "ipv"}
)

#: (column, problem, hint) → the error
_Error = Callable[[str, str, str], BadManifest]


def with_family(draft: Draft, drafts: Sequence[Draft], family: str | None, error: _Error) -> Draft:
    """Return a column of type `ip` with the offset of its family, found in `drafts`; other columns unchanged."""
    if draft.column.type is not ColumnType.IP:
        if family is not None:
            problem = f"only an ip has a family, and this is {draft.column.type}"
            raise error(draft.column.name, problem, 'Add type = "ip".')
        return draft
    if family is None:
        found = [each for each in drafts if aliases(each) & _NAMES and _is_family(each)]
    else:
        found = [each for each in drafts if family in aliases(each) | {each.column.name}]
        if not found or not _is_family(found[0]):
            names = [each.column.name for each in drafts if _is_family(each)]
            problem = f"family names no member that is a whole number: '{family}'"
            raise error(draft.column.name, problem, nearest(family, names))
    if len(found) != 1 and family is None:
        return draft
    field = found[0].field
    return replace(draft, field=changed(draft.field, family_offset=field.offset, family_size=field.size))


def _is_family(draft: Draft) -> bool:
    return draft.field.kind is FieldKind.SCALAR and is_whole_number(draft.field)
