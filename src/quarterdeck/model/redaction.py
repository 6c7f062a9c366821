"""Configuration without its secrets: for `qd config show`, for the command `get_config`, and for errors."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from quarterdeck.model.config import AgentConfig

#: a join token, the environment of an extension, and an extension that is none: nobody knows what stands there
_SECRET = re.compile(r"token|extensions|extensions(\..+)?\.env(\..+)?", re.DOTALL)
_URLS = frozenset({"state_url", "telemetry_url", "redis.url"})  # they may hold a password
_PASSWORDS = re.compile(r"(?<=:)(?!//)[^/]*(?=@)|(?<=[?&]password=)[^&]*")  # up to the last @: one may stand in it


def redacted(key: str, value: Any) -> Any:
    """Return the value of a key (dotted if nested), with secrets as "(set)" and a password in a URL as "***"."""
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return {name: redacted(f"{key}.{name}", each) for name, each in named.items()}
    if isinstance(value, list):
        return [redacted(key, each) for each in cast("list[Any]", value)]
    if key in _URLS and isinstance(value, str):
        return _PASSWORDS.sub("***", value)
    return "(set)" if value and _SECRET.fullmatch(key) else value


def without_secrets(config: AgentConfig) -> AgentConfig:
    """Return an agent's configuration in which secrets are replaced as by `redacted`."""
    shown = {key: redacted(key, value) for key, value in msgspec.to_builtins(config).items()}
    return msgspec.convert(shown, AgentConfig)
