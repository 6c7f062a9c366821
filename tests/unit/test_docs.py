"""The documentation says what the code does: generated pages are fresh, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from cyclopts.exceptions import CycloptsError

from quarterdeck.bpf.btf import KERNEL_BTF
from quarterdeck.cli import results
from quarterdeck.cli.main import to_tokens
from quarterdeck.cli.verbs import app
from quarterdeck.model.errors import BY_CODE
from quarterdeck.modulekit.build import build_module
from tests.support import require
from tools.reference import FOLDER, PAGES, render

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/*.md"),
        *ROOT.glob("modules/*/README.md"),
    )
)
DEPLOYED = sorted(path for path in ROOT.glob("deploy/**/*") if path.suffix in {".service", ""} and path.is_file())


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_what_the_code_says(page: str) -> None:
    if page == "tables":
        require(KERNEL_BTF.exists(), "modules are compiled against the kernel's BTF")
    assert (FOLDER / f"{page}.md").read_text() == render(page), "run `make docs`"


def test_the_guide_explains_every_exit_code() -> None:
    page = (ROOT / "docs" / "guide" / "command-line.md").read_text()
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert explained == {0, results.EXIT_NOT_OK} | {kind.exit_code for kind in BY_CODE.values()}


def test_the_page_of_verbs_does_not_say_how_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written = render("cli")
    monkeypatch.setattr(sys, "argv", ["python -m something"])
    assert render("cli") == written


def commands(text: str) -> list[str]:
    """Every `qd …` in the fenced blocks of a document: at a line's start, behind a prompt, or in $( )."""
    found: list[str] = []
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found += re.findall(r"(?:^\s*(?:[$#] )?(?:sudo )?(?:[A-Z_]+=\S+ )*|\$\(|&& )((?:\S*/bin/)?qd [^\n]*)", line)
    return found


def words(command: str) -> list[str]:
    """A command line's words, up to a pipe, a redirection, a comment or the end of $( )."""
    parts = shlex.split(command.rstrip(")") if command.count(")") > command.count("(") else command, comments=True)
    stop = next((n for n, part in enumerate(parts) if part in {"|", ">", ">>", "<", "&", "&&", ";", "─►"}), len(parts))
    return parts[1:stop]


def parses(arguments: list[str]) -> None:
    """Raises where `qd` would not understand these arguments; runs nothing."""
    if {"--help", "--version"} & set(arguments):
        return
    app.parse_args(to_tokens(arguments), print_error=False, exit_on_error=False)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path != FOLDER / "cli.md"], ids=named)
def test_every_command_in_a_document_exists(path: Path) -> None:
    for command in commands(path.read_text()):
        try:
            parses(words(command))
        except (CycloptsError, ValueError) as error:
            pytest.fail(f"{command}\n{error}")


def test_the_guide_is_full_of_commands() -> None:
    found = [command for path in DOCUMENTS if "guide" in path.parts for command in commands(path.read_text())]
    assert len(found) > 50
    with pytest.raises(CycloptsError):
        parses(["module", "deploi", "execs"])
    with pytest.raises(CycloptsError):
        parses(["module", "deploy", "execs", "--weit"])


def module_of_the_guide() -> dict[str, str]:
    """The files that the guide's page on modules writes, by name."""
    page = (ROOT / "docs" / "guide" / "modules.md").read_text()
    return dict(re.findall(r"^`signals/(\S+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


def built(files: dict[str, str]) -> list[str]:
    """The columns of the one table of a module, after a build without warnings."""
    build = build_module({name: text.encode() for name, text in files.items()}).build
    assert not build.warnings
    return [column.name for column in build.sources[0].table.columns]


def test_the_module_that_the_guide_writes_can_be_built_without_and_with_its_transform() -> None:
    require(KERNEL_BTF.exists(), "modules are compiled against the kernel's BTF")
    files = module_of_the_guide()
    transform = {name: files.pop(name) for name in ("event.h", "signals.wasm.c")}
    assert built(files) == ["time", "sender_pid", "target_pid", "signal", "sender", "target"]
    program, struct = files["signals.bpf.c"], re.compile(r"^struct event \{.*?^\};$", re.MULTILINE | re.DOTALL)
    files["signals.bpf.c"] = struct.sub('#include "event.h"', program, count=1)
    files["module.toml"] = files["module.toml"].replace('row = "event"', 'row = "event"\ntransform = "signals.wasm.c"')
    assert built({**files, **transform})[-1] == "fatal"


@pytest.mark.parametrize("path", DEPLOYED, ids=named)
def test_every_command_that_is_deployed_exists(path: Path) -> None:
    text = path.read_text()
    found = re.findall(r"^ExecStart=\S*/qd (.*)$", text, re.MULTILINE)
    for line in found:
        parses(shlex.split(line))
    assert found or path.suffix != ".service"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(aim.read_text()), f"{target}: no such heading"


def anchors(text: str) -> set[str]:
    """The anchors of a document: those written, and those of its headings."""
    headings = [
        re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    ]
    return {*headings, *re.findall(r'<a id="([^"]+)">', text)}
