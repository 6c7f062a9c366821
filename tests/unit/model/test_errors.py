from __future__ import annotations

import pickle

import msgspec
import pytest

from quarterdeck.model import errors
from quarterdeck.model.errors import (
    BY_CODE,
    BadQuery,
    Conflict,
    Problem,
    QuarterdeckError,
    Unavailable,
    from_problem,
    to_problem,
)


def every_error() -> list[type[QuarterdeckError]]:
    """Return all classes of the tree, found in the module instead of in `BY_CODE`."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QuarterdeckError)]
    assert len(kinds) > 20
    return kinds


def test_each_code_stands_for_one_error() -> None:
    kinds = every_error()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.code: kind for kind in kinds} == BY_CODE


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_an_error_has_words_of_its_own_and_codes_that_fit(kind: type[QuarterdeckError]) -> None:
    assert kind().message == (kind.__doc__ or "").strip()
    assert kind().message.endswith((".", "report."))
    assert 400 <= kind.http_status < 600
    assert 0 < kind.exit_code < 126
    assert kind.grpc_status.isupper()


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_the_tree_drawn_at_the_top_names_every_error(kind: type[QuarterdeckError]) -> None:
    drawn = [line.strip("│├└─ ").split() for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line]
    assert any(words[:3] == [kind.__name__, kind.code, str(kind.http_status)] for words in drawn)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_a_problem_document_gives_the_error_back(kind: type[QuarterdeckError]) -> None:
    error = kind("found this", hint="do that", lines=("one", "two"))
    body = msgspec.json.encode(to_problem(error))
    again = from_problem(msgspec.json.decode(body, type=Problem))
    assert type(again) is kind
    assert (again.message, again.hint, again.lines) == ("found this", "do that", ("one", "two"))


def test_a_code_of_a_newer_server_keeps_its_words() -> None:
    problem = Problem(type="/docs/errors#later", title="Later.", status=418, code="later", hint="wait")
    error = from_problem(problem)
    assert type(error) is QuarterdeckError
    assert str(error) == "Later. wait"


def test_an_error_reads_as_its_message_and_its_hint() -> None:
    assert str(BadQuery("No table 'x'.", hint="See `qd tables`.")) == "No table 'x'. See `qd tables`."
    assert str(BadQuery()) == "The query cannot be run."


def test_errors_are_told_apart_by_what_the_asker_can_do() -> None:
    assert issubclass(BY_CODE["in_use"], Conflict)
    assert issubclass(BY_CODE["storage_full"], Unavailable)


def test_an_error_survives_pickling_with_its_message() -> None:
    assert pickle.loads(pickle.dumps(BadQuery("No table 'x'."))).message == "No table 'x'."
