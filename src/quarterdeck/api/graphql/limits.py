"""Limits of a GraphQL document, checked before it is validated: its tokens, its depth and the fields it selects.

Fragments count wherever they are spread. The objects of the answer are counted by the executor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from strawberry.extensions import SchemaExtension

from quarterdeck.model.errors import TooLarge

TOKENS_LIMIT = 4000
#: fields within fields; introspection by GraphiQL has 15
DEPTH_LIMIT = 16
#: fields of a document, with those of a fragment wherever it is spread
FIELDS_LIMIT = 1000
#: fields of an operation's top level: each is a request to the server
ROOT_FIELDS_LIMIT = 30


@dataclass(frozen=True, slots=True)
class _Size:
    depth: int
    fields: int
    top: int


class DocumentLimits(SchemaExtension):
    """Refuses documents that exceed a limit."""

    def on_operation(self) -> Iterator[None]:
        """Limit what the parser reads."""
        self.execution_context.parse_options["max_tokens"] = TOKENS_LIMIT
        yield

    def on_validate(self) -> Iterator[None]:
        """Check the parsed document."""
        document = self.execution_context.graphql_document
        if document is not None:
            check_document(document)
        yield


def check_document(document: DocumentNode) -> None:
    """Raise `TooLarge` when an operation of the document exceeds a limit."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    known: dict[str, _Size] = {}
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode):
            _check(
                _size(each.selection_set, fragments, known, ()), of_operation=isinstance(each, OperationDefinitionNode)
            )


def _check(size: _Size, *, of_operation: bool) -> None:
    if size.depth > DEPTH_LIMIT:
        raise TooLarge(f"A query has at most {DEPTH_LIMIT} levels; found {size.depth}.")
    if size.fields > FIELDS_LIMIT:
        raise TooLarge(
            f"A query selects at most {FIELDS_LIMIT} fields, those of fragments included; found {size.fields}."
        )
    if of_operation and size.top > ROOT_FIELDS_LIMIT:
        raise TooLarge(f"An operation has at most {ROOT_FIELDS_LIMIT} fields at its top level; found {size.top}.")


def _size(
    selected: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, _Size],
    within: tuple[str, ...],
) -> _Size:
    """Return the size of a selection. A fragment within itself has none: validation refuses it."""
    depth = fields = top = 0
    for each in selected.selections:
        if isinstance(each, FieldNode):
            inner = _size(each.selection_set, fragments, known, within) if each.selection_set else _Size(0, 0, 0)
            depth, fields, top = max(depth, inner.depth + 1), fields + inner.fields + 1, top + 1
            continue
        inner = _Size(0, 0, 0)
        if isinstance(each, InlineFragmentNode):
            inner = _size(each.selection_set, fragments, known, within)
        elif isinstance(each, FragmentSpreadNode):
            inner = _of_fragment(each.name.value, fragments, known, within)
        depth, fields, top = max(depth, inner.depth), fields + inner.fields, top + inner.top
    return _Size(depth, fields, top)


def _of_fragment(
    name: str, fragments: dict[str, FragmentDefinitionNode], known: dict[str, _Size], within: tuple[str, ...]
) -> _Size:
    if name in within or name not in fragments:
        return _Size(0, 0, 0)
    if name not in known:
        known[name] = _size(fragments[name].selection_set, fragments, known, (*within, name))
    return known[name]
