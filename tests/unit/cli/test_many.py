"""One verb on several names."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.cli import many
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.model.errors import BadInput, Conflict, NotFound


def act(name: str) -> str:
    if name == "gone":
        raise NotFound("There is none 'gone'.")
    if name == "used":
        raise Conflict("It is in use.")
    return name.upper()


def test_all_are_tried_and_the_first_error_decides_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    with pytest.raises(SystemExit) as ended:
        many.each(("a", "gone", "used", "b", "a"), act, done.append)
    assert done == ["A", "B"]
    assert ended.value.code == NotFound.exit_code
    err = capsys.readouterr().err
    assert "There is none 'gone'." in err
    assert "It is in use." in err


def test_a_call_without_names_is_refused() -> None:
    with pytest.raises(BadInput, match="Expected a name"):
        many.each((), act, print)


@pytest.mark.parametrize(("names", "shown"), [(("a",), "A"), (("a", "b"), ["A", "B"])])
def test_in_json_one_name_is_one_struct_and_several_are_a_list(
    names: tuple[str, ...], shown: object, capsys: pytest.CaptureFixture[str]
) -> None:
    many.print_each(names, act, OutputOptions(json=True), print)
    assert msgspec.json.decode(capsys.readouterr().out) == shown


def test_what_is_removed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    many.remove(("a", "b"), lambda _: None)
    assert capsys.readouterr().out == "a is removed.\nb is removed.\n"
