"""`qd doctor`: the features of this host for modules and programs, the effect of missing ones, and a verdict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.formats import Format, OutputOptions
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.cli.processes import not_installed

if TYPE_CHECKING:
    from quarterdeck.bpf.features import Feature

FEATURES = Listing["Feature"](
    columns=(
        Column("feature", lambda f: f.name),
        Column("ok", lambda f: "yes" if f.ok else "no"),
        Column("detail", lambda f: f.detail),
        Column("without it", lambda f: "" if f.ok else f.costs),
    ),
    name=lambda f: f.name,
    struct=msgspec.to_builtins,
    empty="",
)
#: no module can run here
EXIT_NO_MODULES = 1


def doctor(*, how: OutputOptions = OutputOptions()) -> None:
    """Check what this host's kernel and system offer to modules and programs, and what each missing thing costs.

    The last line is the verdict. The exit code is 0 when modules can run here, even if some kinds cannot, and else 1.
    """
    try:
        from quarterdeck.agent.processes import abilities  # noqa: PLC0415  (the agent's libraries are an extra)
        from quarterdeck.bpf import features as kernel  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise not_installed(error, "doctor", extra="agent") from error
    features = [*kernel.survey(), *abilities.survey()]
    why_none = kernel.refusal(features)
    if how.format is Format.TABLE:
        _print(features)
        output.console.print()
        output.console.print(_verdict(features, why_none), soft_wrap=True)
    else:
        FEATURES.print_items(features, how)
    if why_none:
        sys.exit(EXIT_NO_MODULES)


def _print(features: Sequence[Feature]) -> None:
    for feature in features:
        mark = "[green]ok[/] " if feature.ok else "[red]no[/] "
        line = f"{mark} [bold]{escape(f'{feature.name:<24}')}[/] {escape(feature.detail)}"
        output.console.print(line, soft_wrap=True)
        if not feature.ok and feature.costs:
            output.console.print(" " * 29 + f"without it: {escape(feature.costs)}", soft_wrap=True)


def _verdict(features: Sequence[Feature], why_none: str) -> str:
    if why_none:
        return f"[bold red]No module can run here.[/] {escape(why_none)} Everything else of an agent works."
    missing = [feature for feature in features if not feature.ok]
    costs = f", except for what {output.counted(len(missing), 'missing feature')} would allow" if missing else ""
    return f"[bold green]Modules can run here[/]{costs}."
