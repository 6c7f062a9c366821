"""Logins and sign-in codes."""

from __future__ import annotations

from sqlalchemy import Column, Index, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class LoginColumns(TypedColumns):
    """A signed-in browser; only the SHA-256 of its cookie's secret is stored."""

    id: Named[str] = Column(primary_key=True)
    token_id: Named[str]
    secret_sha256: Named[str]
    create_time: Named[float]
    expires_at: Named[float]
    seen_at: Named[float]
    address: Named[str]
    agent: Named[str]


class SignInCodeColumns(TypedColumns):
    """An unused code; only its SHA-256 is stored."""

    code_sha256: Named[str] = Column(primary_key=True)
    token_id: Named[str]
    expires_at: Named[float]


login = Table("login", metadata, LoginColumns)
sign_in_code = Table("sign_in_code", metadata, SignInCodeColumns)
Index(None, login.c.token_id)
Index(None, sign_in_code.c.token_id)
