"""The manifest: every mistake says its line, its place, what was expected and what may have been meant."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ProbeKind, ReadMode
from quarterdeck.model.tables import ColumnRole, ColumnType
from quarterdeck.modulekit.manifest import parse_manifest

TABLE = '[[table]]\nname = "t"\nfrom = "events"\n'


def test_reads_every_key() -> None:
    manifest = parse_manifest(b"""
name = "all"
description = "d"
optional = ["*"]
alternatives = [[["a", "b"], ["c"]]]
[settings.pid]
description = "only this"
default = 7
[maps.stacks]
depth = 64
[[probe]]
program = "a"
kind = "uprobe"
binary = "/bin/sh"
target = "main"
[[table]]
name = "t"
from = ["ring", "perf"]
row = "event"
read = "drain"
interval = "250ms"
[table.columns.ts]
type = "timestamp_ns"
role = "time"
clock = "boottime"
""")
    assert manifest.table[0].from_ == ("ring", "perf")
    assert manifest.table[0].read is ReadMode.DRAIN
    assert manifest.table[0].columns["ts"].type is ColumnType.TIMESTAMP
    assert manifest.table[0].columns["ts"].role is ColumnRole.TIME
    assert manifest.probe[0].kind is ProbeKind.UPROBE
    assert manifest.settings["pid"].default == 7
    assert manifest.maps["stacks"].depth == 64
    assert manifest.alternatives == ((("a", "b"), ("c",)),)


MISTAKES = {
    # text: what the message must say
    'name = "x"\n[[table]]\nname = "t"\nfrm = "e"\n': [
        "line 4",
        "table[0].frm",
        "no key 'frm'",
        "Did you mean 'from'?",
    ],
    'nme = "x"\n' + TABLE: ["line 1", "no key 'nme'", "Did you mean 'name'?"],
    TABLE: ["the key 'name' is missing"],
    'name = "x"\n[[table]]\nname = "t"\n': ["line 2", "table[0]", "the key 'from' is missing"],
    "name = 3\n" + TABLE: ["line 1 (name)", "expected a string, found the number 3"],
    'name = "x"\noptional = "p"\n' + TABLE: ["line 2 (optional)", "expected an array, found the string 'p'"],
    'name = "x"\ntable = 3\n': ["line 2 (table)", "expected an array, found the number 3"],
    'name = "x"\nmaps.a.max_entries = "4"\n' + TABLE: ["maps.a.max_entries", "a whole number", "the string '4'"],
    'name = "x"\n[maps.a]\nmax_entrys = 4\n' + TABLE: ["line 3", "Did you mean 'max_entries'?"],
    'name = "x"\n' + TABLE + 'read = "often"\n': ["line 5", "deltas, snapshot, drain", "'often'"],
    'name = "x"\n' + TABLE + '[table.columns.pid]\nrole = "pod"\n': [
        "line 6",
        "table[0].columns.pid.role",
        "cgroup",
        "'pod'",
    ],
    'name = "x"\n' + TABLE + '[table.columns.pid]\nname = "P"\n': ["line 6", "'P' is not a name for a column"],
    'name = "x"\n' + TABLE + '[table.columns.pid]\nname = "gid"\n': ["'gid' is a column that every table gets"],
    'name = "x"\n' + TABLE + '[table.columns.pid]\nclock = "sundial"\n': ["ktime, boottime, realtime or tai"],
    'name = "x"\n' + TABLE + "[table.columns.pid]\nvalues = { one = '1' }\n": ["numbers as keys of values", "'one'"],
    'name = "x"\n' + TABLE + 'interval = "3 parsecs"\n': ["line 5 (table[0].interval)", "not a duration", "250ms"],
    'name = "x"\n' + TABLE + 'interval = "2h"\n': ["expected 10ms to 1h, found '2h'"],
    'name = "x"\n' + TABLE + 'per_cpu = "mean"\n': ["sum, max or each"],
    'name = "x"\n' + TABLE + "rate_limit = -1\n": ["rows a second"],
    'name = "X"\n' + TABLE: ["line 1 (name)", "'X' is not a name for a module", "a–z"],
    'name = "x"\n' + TABLE + TABLE: ["line 6", "two tables named 't'"],
    'name = "x"\n': ["there is no [[table]]"],
    'name = "x"\n' + TABLE + '[[probe]]\nprogram = "p"\nkind = "uprobe"\n': [
        "probe[0].binary",
        "needs 'binary'",
        "libc.so.6",
    ],
    'name = "x"\n' + TABLE + '[[probe]]\nprogram = "p"\nkind = "kprob"\n': ["line 7", "kprobe", "'kprob'"],
    'name = "x"\n' + TABLE + '[[probe]]\nprogram = "p"\nkind = "tracepoint"\ntarget = "exec"\n': [
        "group:name, found 'exec'"
    ],
    'name = "x"\n' + TABLE + '[[probe]]\nprogram = "p"\nkind = "tc"\ndirection = "up"\n': [
        "ingress or egress, found 'up'"
    ],
    'name = "x\n': ["not TOML", "line 1"],
    "[[table]\n": ["not TOML", "line 1"],
}


@pytest.mark.parametrize("text", MISTAKES)
def test_says_what_is_wrong(text: str) -> None:
    with pytest.raises(BadManifest) as caught:
        parse_manifest(text.encode())
    for part in MISTAKES[text]:
        assert part in str(caught.value), str(caught.value)


def test_refuses_bytes_that_are_no_text() -> None:
    with pytest.raises(BadManifest, match="not UTF-8 text"):
        parse_manifest(b'name = "\xff"')


def test_finds_the_line_of_a_quoted_key() -> None:
    text = 'name = "x"\n' + TABLE + '[settings."config.on"]\ndescripton = "d"\n'
    with pytest.raises(BadManifest, match=r"line 6.*Did you mean 'description'"):
        parse_manifest(text.encode())
