"""What is kept is not collected again, and what is garbage is collected before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from quarterdeck.kit.garbage import keep_present


class Circle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_garbage_is_collected_first_and_the_rest_is_not_looked_at_again() -> None:
    kept, dropped = Circle(), Circle()
    known = weakref.ref(dropped)
    del dropped
    keep_present()
    assert known() is None
    assert gc.get_freeze_count() > 0
    assert all(each is not kept for each in gc.get_objects())


def test_kept_objects_are_freed_when_nothing_refers_to_them() -> None:
    class Plain:
        pass

    plain = Plain()
    known = weakref.ref(plain)
    keep_present()
    del plain
    assert known() is None
