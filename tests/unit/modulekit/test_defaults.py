"""Defaults of a manifest: variants, samples, and programs that may be missing."""

from __future__ import annotations

from quarterdeck.model.manifests import Manifest, ProbeKind, ProbeSpec
from quarterdeck.modulekit.defaults import SAMPLES_HZ, completed
from quarterdeck.modulekit.programs import ProgramDeclaration

SILENT = Manifest(name="m")


def programs(**sections: str) -> list[ProgramDeclaration]:
    return [ProgramDeclaration(name=name, section=section, refers=frozenset()) for name, section in sections.items()]


def test_one_function_watched_in_two_ways_is_an_alternative() -> None:
    both = programs(a="fentry/vfs_read", b="fexit/vfs_read", c="kprobe/vfs_read", d="kprobe/other", e="fentry/alone")
    manifest, warnings = completed(SILENT, both)
    assert manifest.alternatives == ((("a", "b"), ("c",), ()),)
    assert "a with b, or c" in warnings[0]


def test_an_event_has_three_ways() -> None:
    three = programs(
        a="tp_btf/sched_switch", b="raw_tp/sched_switch", c="tp/sched/sched_switch", d="tp_btf/sched_wakeup"
    )
    assert completed(SILENT, three)[0].alternatives == ((("a",), ("b",), ("c",), ()),)


def test_different_places_are_no_variants() -> None:
    manifest, warnings = completed(SILENT, programs(a="fentry/x", b="kprobe/y", c="tp_btf/z", d="raw_tp/w"))
    assert manifest.alternatives == ()
    assert warnings == []


def test_what_the_author_says_stays() -> None:
    both = programs(a="fentry/x", b="kprobe/x")
    for said in (
        Manifest(name="m", disabled=("b",), optional=("a",)),
        Manifest(name="m", alternatives=((("b",), ("a",)),), optional=("a",)),
    ):
        assert completed(said, both) == (said, [])


def test_each_function_is_a_choice_of_its_own_because_kernels_have_one_and_not_another() -> None:
    pages_or_folios = programs(
        a="fentry/page", b="fexit/page", c="fentry/folio", d="kprobe/page", e="kretprobe/page", f="kprobe/folio"
    )
    manifest, warnings = completed(SILENT, pages_or_folios)
    assert manifest.alternatives == ((("a", "b"), ("d", "e"), ()), (("c",), ("f",), ()))
    assert len(warnings) == 1
    assert "a with b, or d with e; c, or f" in warnings[0]


def test_a_probe_says_where_a_program_hangs() -> None:
    probe = ProbeSpec(program="b", kind=ProbeKind.UPROBE, binary="x", target="y")
    elsewhere = Manifest(name="m", probe=(probe,))
    assert completed(elsewhere, programs(a="fentry/x", b="kprobe/x"))[0].alternatives == ()
    both = tuple(
        ProbeSpec(program=name, kind=kind, target="vfs_read")
        for name, kind in (("a", ProbeKind.FENTRY), ("b", ProbeKind.KPROBE))
    )
    same = Manifest(name="m", probe=both)
    assert completed(same, programs(a="fentry/dummy", b="kprobe/other"))[0].alternatives == ((("a",), ("b",), ()),)


def test_a_program_that_hangs_in_several_places_is_no_variant() -> None:
    probes = tuple(ProbeSpec(program="a", kind=ProbeKind.KPROBE, target=name) for name in ("x", "y"))
    manifest = Manifest(name="m", probe=probes)
    assert completed(manifest, programs(a="kprobe/x", b="fentry/x"))[0].alternatives == ()


def test_samples_are_taken_unless_a_probe_says_how() -> None:
    probe = completed(SILENT, programs(a="perf_event"))[0].probe[0]
    assert (probe.program, probe.kind, probe.frequency) == ("a", ProbeKind.PERF_EVENT, SAMPLES_HZ)
    said = Manifest(name="m", probe=(ProbeSpec(program="a", kind=ProbeKind.PERF_EVENT, period=1000),))
    assert completed(said, programs(a="perf_event"))[0] == said


def test_of_several_programs_some_may_be_missing() -> None:
    assert completed(SILENT, programs(a="tp_btf/x", b="tp_btf/y"))[0].optional == ("*",)
    assert completed(SILENT, programs(a="tp_btf/x"))[0].optional == ()


def test_what_the_source_switches_off_is_no_variant() -> None:
    manifest, warnings = completed(SILENT, programs(a="?tp_btf/e", b="raw_tp/e"))
    assert not manifest.alternatives
    assert not warnings
