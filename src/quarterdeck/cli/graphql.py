"""`qd graphql`: a GraphQL query or mutation."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from quarterdeck.cli.arguments import connect
from quarterdeck.cli.formats import Format, print_struct
from quarterdeck.cli.text import standard_input
from quarterdeck.model.errors import BadInput


class DataFormat(StrEnum):
    """The formats of data without columns."""

    JSON = "json"
    YAML = "yaml"


def graphql(
    query: Annotated[
        str, Parameter(help="Such as '{ nodes { nodes { name state } } }'; '-' reads it from standard input.")
    ],
    /,
    *,
    variables: Annotated[str, Parameter(name=["--variables", "-v"], help="Values of its variables, as JSON.")] = "{}",
    output_format: Annotated[
        DataFormat, Parameter(name=["--output", "-o"], help="How the data is printed.")
    ] = DataFormat.JSON,
) -> None:
    """Ask in GraphQL: several nouns in one request, with only the fields that are named, or a change.

    The server has GraphiQL at /graphiql, which shows all there is to ask.
    """
    text = standard_input() if query == "-" else query
    try:
        values = msgspec.json.decode(variables, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadInput(
            f"The variables are not a JSON object: {error}.", hint='Write them as {"name": value}.'
        ) from error
    with connect() as client:
        data = client.graphql(text, values)
    print_struct(data, Format(output_format.value))
