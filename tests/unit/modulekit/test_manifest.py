"""The manifest: every error has the line, the place, what was expected and a suggestion."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ProbeKind, ReadMode
from quarterdeck.model.tables import ColumnRole, ColumnType
from quarterdeck.modulekit.manifest import parse_manifest
from quarterdeck.modulekit.meanings import C_TYPES

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
    # text: what the message must contain
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
    'name = "x"\n' + TABLE + '[table.columns.pid]\nname = "gid"\n': ["'gid' is a column that every table has"],
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


@pytest.mark.parametrize("line", ["[" + " " * 200_000, "[" * 200_000, "x" * 200_000, '"' * 99_999 + "x"])
def test_no_line_of_a_text_makes_the_search_for_places_slow(line: str) -> None:
    """Each of these took minutes, during which the whole process was blocked; the test's own time limit ends it."""
    with pytest.raises(BadManifest):
        parse_manifest(f"description = '''\n{line}\n'''\n".encode())


PROBES = TABLE + '[[probe]]\nprogram = "a"\nkind = "kprobe"\ntarget = ["vfs_read", "vfs_write"]\n'


def test_a_probe_may_name_several_targets() -> None:
    manifest = parse_manifest(f'name = "m"\n{PROBES}[[probe]]\nprogram = "b"\nkind = "fentry"\ntarget = "c"\n'.encode())
    assert [(each.program, each.kind, each.target) for each in manifest.probe] == [
        ("a", ProbeKind.KPROBE, "vfs_read"),
        ("a", ProbeKind.KPROBE, "vfs_write"),
        ("b", ProbeKind.FENTRY, "c"),
    ]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ('["a:b", 7]', "expected a string, found the number 7"),
        ('["a:b", "c"]', "expected group:name, found 'c'"),
        ("[]", "expected a string, found an array"),
        ('[["a:b"]]', "expected a string, found an array"),
    ],
)
def test_a_wrong_target_of_several_is_found_where_it_was_written(targets: str, message: str) -> None:
    probe = f'[[probe]]\nkind = "tracepoint"\nprogram = "b"\ntarget = {targets}\n'
    with pytest.raises(BadManifest) as caught:
        parse_manifest(f'name = "m"\n{PROBES}{probe}'.encode())
    assert "line 12 (probe[1].target)" in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("interval = 5", 'interval = "5s"'),
        ("interval = 0.5", 'interval = "0.5s"'),
        ("retention = 7", 'retention = "7d"'),
        ('columns.pid.type = "int"', 'Did you mean "int32"?'),
        ('columns.pid.type = "unsigned  long"', 'Did you mean "uint64"?'),
        ('columns.pid.type = "u32"', 'Did you mean "uint32"?'),
        ('columns.pid.type = "double"', 'Did you mean "float64"?'),
        ('columns.pid.type = "timestamp"', 'Did you mean "timestamp_ns"?'),
        ('columns.pid.type = "ivp4"', "Did you mean 'ipv4'?"),
        ('read = "delta"', "Did you mean 'deltas'?"),
    ],
)
def test_what_a_wrong_value_may_have_been_meant_to_be(line: str, hint: str) -> None:
    with pytest.raises(BadManifest) as caught:
        parse_manifest(f'name = "m"\n{TABLE}{line}\n'.encode())
    assert hint in caught.value.hint


def test_every_c_type_that_is_hinted_at_is_a_type_of_a_column() -> None:
    assert set(C_TYPES.values()) <= {str(kind) for kind in ColumnType}
