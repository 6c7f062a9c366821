"""`qd doctor`: what this host can do for modules, what it cannot, and what that costs."""

from __future__ import annotations

import msgspec

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json
from quarterdeck.cli.processes import not_installed


def doctor(*, json: Json = False) -> None:
    """Check what this host's kernel and system offer to modules, and say what each missing thing costs."""
    try:
        from quarterdeck.bpf.features import survey  # noqa: PLC0415  (the agent's libraries are an extra)
    except ModuleNotFoundError as error:
        raise not_installed(error, "doctor", extra="agent") from error
    features = survey()
    if json:
        output.print_json(msgspec.to_builtins(features))
        return
    for feature in features:
        mark = "[green]ok[/] " if feature.ok else "[red]no[/] "
        output.console.print(f"{mark} [bold]{feature.name:<24}[/] {feature.detail}", soft_wrap=True)
        if not feature.ok and feature.costs:
            output.console.print(f"    {'':<24} without it: {feature.costs}", soft_wrap=True)
