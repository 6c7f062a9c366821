"""One verb on several names: all are tried, every error is printed, and the first one decides the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeVar

from quarterdeck.cli import output
from quarterdeck.cli.formats import Format, OutputOptions, print_struct
from quarterdeck.model.errors import BadInput, QuarterdeckError

T = TypeVar("T")


def each(names: Sequence[str], act: Callable[[str], T], done: Callable[[T], None]) -> None:
    """Call `act` for each name once, and `done` with what it returns. Exit with the code of the first error.

    Raise `BadInput` when there is no name.
    """
    with Attempt(names) as attempt:
        for result in attempt.results(act):
            done(result)


def print_each(
    names: Sequence[str], act: Callable[[str], T], how: OutputOptions, show: Callable[[Sequence[T]], None]
) -> None:
    """Do the same, and print what `act` returned when all are tried (`print_all`)."""
    with Attempt(names) as attempt:
        print_all(names, list(attempt.results(act)), how, show)


def print_all(
    names: Sequence[str], found: Sequence[T], how: OutputOptions, show: Callable[[Sequence[T]], None]
) -> None:
    """Print what was found for these names: as JSON or YAML, or with `show`. One name is one struct."""
    if not found:
        return
    if how.format in (Format.JSON, Format.YAML):
        print_struct(found[0] if len(names) == 1 else found, how.format)
    else:
        show(found)


def remove(names: Sequence[str], act: Callable[[str], None], *, done: str = "is removed.") -> None:
    """Call `act` for each name, and print that it "is removed."."""

    def remove_one(name: str) -> str:
        act(name)
        return name

    each(names, remove_one, lambda name: say(f"{name} {done}"))


def say(text: str) -> None:
    """Print one line about what was done."""
    output.console.print(text, markup=False, soft_wrap=True)


class Attempt:
    """Tries every name. At its end it exits with the code of the first error, if there was one."""

    def __init__(self, names: Sequence[str]) -> None:
        if not names:
            raise BadInput("Expected a name, found none.")
        self._names = tuple(dict.fromkeys(names))
        self._first: QuarterdeckError | None = None

    def results(self, act: Callable[[str], T]) -> Iterator[T]:
        """Yield what `act` returns for each name; print the error of one that it refuses."""
        for name in self._names:
            try:
                yield act(name)
            except QuarterdeckError as error:
                self._failed(error)

    def run(self, act: Callable[[], None]) -> None:
        """Call `act`, which concerns all names; print its error."""
        try:
            act()
        except QuarterdeckError as error:
            self._failed(error)

    def _failed(self, error: QuarterdeckError) -> None:
        output.print_error(error)
        self._first = self._first or error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._first is not None:
            sys.exit(self._first.exit_code)
