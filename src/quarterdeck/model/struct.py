"""The bases of all structs and of the enums on the link, and the size limits of their parts.

Everything that crosses the link has a limit, so that neither side can make the other store or send too much.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

import msgspec
from msgspec import Meta

#: items of a list or map that crosses the link, unless its type sets a lower limit
ITEMS_LIMIT = 65_536
#: characters (or bytes) of the output of a program or the data that a command returns
OUTPUT_LIMIT = 32 * 1024 * 1024
#: characters of an enum value that only a newer peer knows
WORD_LIMIT = 64
FEW = Meta(max_length=ITEMS_LIMIT)
#: characters of an id, a hash, a version, or a name with rules
Name = Annotated[str, Meta(max_length=1024)]
#: characters of text for users, and of names without rules
Text = Annotated[str, Meta(max_length=1024 * 1024)]
Output = Annotated[str, Meta(max_length=OUTPUT_LIMIT)]
Data = Annotated[bytes, Meta(max_length=OUTPUT_LIMIT)]
Names = Annotated[tuple[Name, ...], FEW]
Texts = Annotated[tuple[Text, ...], FEW]
Pairs = Annotated[dict[Name, Text], FEW]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of structs that users write (configuration, API): immutable; an unknown key is an error."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of structs that cross versions (link messages): the extra keys of a newer peer are ignored."""


class WireEnum(StrEnum):
    """Base of enums that cross versions: a value that only a newer peer knows is kept as its text."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not 0 < len(value) <= WORD_LIMIT:
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown

    @property
    def known(self) -> bool:
        """Return whether this release knows the value."""
        return self in type(self).__members__.values()
