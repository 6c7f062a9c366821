"""The tool that tries the pages sees what is other than they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import blocks, differences, shape

PAGE = """
In a file, `a/b.toml`:

```toml
x = 1
```

<!-- before: echo --x -->
<!-- not run: it needs a moon -->
```
$ qd run uptime
up 1
```
"""


def test_blocks_are_found_with_their_notes(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    first, second = blocks(tmp_path / "page.md")
    assert (first.language, first.notes, first.line) == ("toml", {"file": "a/b.toml"}, 4)
    assert second.notes == {"before": "echo --x", "not run": "it needs a moon"}


def test_a_file_of_the_machine_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Both read `/etc/a/b.toml`:\n\n```toml\nx = 1\n```\n")
    (only,) = blocks(tmp_path / "page.md")
    assert not only.notes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 OK on 2 nodes in 80 ms", "2 OK on 2 nodes in 1.4 s"),
        ("web-1 | 2026-11-21 15:18:01.552 warning: x", "web-1 | 2027-01-02 05:00:01.002 warning: x"),
        ("hello    1 RUNNING  x         4s", "hello  1 RUNNING x 12m"),
        ('web-1 |   "size": 3,', 'web-1 |   "size": 4711,'),
        ("22945c3e-cea5-44da-989d-d6a6aeabd4a6  ping", "c3ea45c3-cea5-44da-989d-d6a6aeabd4a6  ping"),
    ],
)
def test_figures_times_and_ids_have_one_shape(one: str, other: str) -> None:
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (["web-1 | checking"], ["web-1 | chekking"]),
        (["web-1 | 3 GiB free", "web-2 | 3 GiB free"], ["web-1 | 4 GiB free"]),
        (["1 OK on 1 node"], ["1 ERROR on 1 node"]),
        (["a"], ["a", "Traceback (most recent call last):"]),
        (["This node has no command 'x'. It has a, …"], ["This node has no such command"]),
    ],
)
def test_other_words_nodes_and_lines_are_differences(expected: list[str], found: list[str]) -> None:
    assert differences(expected, found, table=False)


def test_of_a_table_the_columns_and_that_there_are_rows_must_be_the_same() -> None:
    assert not differences(["A  B", "x  1"], ["A  B", "y  2", "z  3"], table=True)
    assert differences(["A  B", "x  1"], ["A  C", "y  2"], table=True)
    assert differences(["A  B", "x  1"], ["A  B"], table=True)
