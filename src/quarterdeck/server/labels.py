"""The labels of a node's agent that take effect: those that its join token allows. Pure: no clock, no I/O.

Labels decide which services, modules and jobs a node gets, and so which data it receives. Therefore users assign them,
on the server or in a join token. Other labels that an agent states are shown, but never take effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quarterdeck.kit.patterns import matches
from quarterdeck.model.errors import BadInput
from quarterdeck.model.tokens import JoinToken
from quarterdeck.server.names import LABELS_LIMIT, NAME_LIMIT


class Claims(NamedTuple):
    """The labels that an agent states for its node."""

    allowed: dict[str, str]  #: in force, unless the server set another value
    others: dict[str, str]  #: shown, and without effect


def weigh(said: Mapping[str, str], allowed: Sequence[str]) -> Claims:
    """Sort the labels that an agent states by the patterns of its join token."""
    claims = Claims({}, {})
    for key, value in said.items():
        part = claims.allowed if any(_matches(pattern, key, value) for pattern in allowed) else claims.others
        part[key] = value
    return claims


def at_join(token: JoinToken, said: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that a node gets permanently when it joins.

    They are those of its token; a token that leaves them open accepts those that the joining host states, this once.
    """
    is_open = token.allow_labels is None and not token.labels and token.nid is None
    return dict(said) if is_open else dict(token.labels)


def check_patterns(patterns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return `patterns` unchanged; raise `BadInput` unless each is KEY or KEY=VALUE."""
    if patterns is None:
        return None
    if len(patterns) > LABELS_LIMIT:
        raise BadInput(f"A token allows at most {LABELS_LIMIT} patterns of labels; found {len(patterns)}.")
    for pattern in patterns:
        key, _, value = pattern.partition("=")
        if not key or max(len(key), len(value)) > NAME_LIMIT or not pattern.isprintable():
            raise BadInput(
                f"A pattern of labels is KEY or KEY=VALUE, each at most {NAME_LIMIT} printable characters with * and ?"
                f" for any; found {pattern[:300]!r}."
            )
    return tuple(patterns)


def notices(name: str, claims: Claims, *, own: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Return the notices for the node's agent on the labels it states, and on those it stated `before` but not now."""
    words: list[str] = []
    unheard = [f"{key}={value}" for key, value in claims.others.items() if own.get(key) != value]
    if unheard:
        words.append(
            f"These labels are not in force, as the node's join token does not let its agent set them: "
            f"{' '.join(unheard)}. On the server: qd node label {name} {' '.join(unheard)}"
        )
    overruled = [f"{key}={own[key]}" for key, value in claims.allowed.items() if own.get(key, value) != value]
    if overruled:
        words.append(f"These labels are set on the server, and override the agent's: {' '.join(overruled)}.")
    gone = [f"{key}={value}" for key, value in before.items() if key not in claims.allowed]
    if gone:
        words.append(
            f"These labels were removed because the agent no longer states them: {' '.join(gone)}. "
            "To keep them, put them into [agent.labels] of its configuration, or set them with `qd node label`."
        )
    return words


def _matches(pattern: str, key: str, value: str) -> bool:
    of_key, equals, of_value = pattern.partition("=")
    return matches(key, of_key) and (not equals or matches(value, of_value))
