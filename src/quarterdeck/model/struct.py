"""The one way a noun is declared: frozen, keyword-only, and strict about keys it does not know."""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every noun. Immutable; an unknown key is an error when a person wrote it (config, manifest, API)."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of nouns that cross versions (link messages): a newer peer's extra keys are ignored, not refused."""
