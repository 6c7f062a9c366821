"""Limits of a document: its depth, and the fields it selects with those of its fragments."""

from __future__ import annotations

import pytest
from graphql import parse

from quarterdeck.api.graphql.limits import DEPTH_LIMIT, FIELDS_LIMIT, ROOT_FIELDS_LIMIT, check_document
from quarterdeck.model.errors import TooLarge


def nested(depth: int) -> str:
    return "{ a " * depth + "}" * depth


def test_a_document_within_the_limits_passes() -> None:
    check_document(parse(nested(DEPTH_LIMIT)))
    check_document(parse("{ a { " + " ".join(f"b{n}" for n in range(FIELDS_LIMIT - 1)) + " } }"))
    check_document(parse("{ " + " ".join(f"b{n}" for n in range(ROOT_FIELDS_LIMIT)) + " }"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (nested(DEPTH_LIMIT + 1), "levels; found 17"),
        ("{ a { " + " ".join(f"b{n}" for n in range(FIELDS_LIMIT)) + " } }", "fields"),
        ("{ " + " ".join(f"b{n}" for n in range(ROOT_FIELDS_LIMIT + 1)) + " }", "top level"),
        ("{ ...A ... on T { ...A } } fragment A on T { " + " ".join(f"b{n}" for n in range(16)) + " }", "top level"),
        ("{ ...A } fragment A on T " + nested(DEPTH_LIMIT + 1), "levels"),
        ("fragment A on T " + nested(DEPTH_LIMIT + 1), "levels"),
        ("{ a { ...A } } fragment A on T " + nested(DEPTH_LIMIT), "levels"),
    ],
)
def test_a_document_beyond_a_limit_is_too_large(document: str, message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        check_document(parse(document))


def test_fragments_that_double_are_counted_in_little_time() -> None:
    fragments = " ".join(f"fragment F{n} on T {{ ...F{n + 1} ...F{n + 1} }}" for n in range(200))
    with pytest.raises(TooLarge):
        check_document(parse(f"{{ a {{ ...F0 }} }} {fragments} fragment F200 on T {{ a }}"))


def test_a_circle_of_fragments_is_left_to_validation() -> None:
    check_document(parse("{ a { ...A } } fragment A on T { b ...B } fragment B on T { c ...A ...Missing }"))
