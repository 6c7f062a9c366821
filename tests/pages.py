"""The examples of a page of the documentation: found, run in their order as a reader would, compared by their shape.

A block with prompts is commands with what they print; one without is commands alone, a file (the text before it ends
with its name and a colon), or a program in Python. A comment before a block, which no reader sees, says what else is
needed:

    <!-- not run: why -->            it is left out, and listed
    <!-- before: a command line -->  what the prose says in words, or what the page before it did
    <!-- file: a name -->            it is that file
    <!-- output of: a command line --> it is what this prints
    <!-- endless -->                 its last command goes on until Ctrl-C

Figures, times and ids are masked; headings of tables, words and nodes must be there. What a program says of the machine
it runs on may have other words, in as many lines.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- (not run|before|file|output of|endless)(?:: (.*?))? -->\s*", re.DOTALL)
_NOTES = re.compile(r"((?:<!-- (?:[^-]|-(?!->))* -->\s*)+)\Z", re.DOTALL)
#: one of the reader's own: what belongs to the machine is none of theirs to write
_FILE = re.compile(r"`(?!/)([\w./-]+\.[\w.]+)`:\s*\Z")
#: how long a command may take, and an endless one goes on at least
LIMIT_S, ENDLESS_S = 120.0, 3.0
#: commands that only look, and how long it may take until they see what the page shows
_LOOKS = re.compile(
    r"redis-cli LRANGE|qd (service (ls|show|logs)|logs|query|job (ls|show|logs)|node ls|module instances)\b"
)
SETTLE_S = 20.0
#: instead of an exit code: it ended before it was to
FAILED = 1000


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    notes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    page = path.read_text()
    for match in _FENCE.finditer(page):
        before = page[: match.start()]
        notes: dict[str, str] = {}
        if found := _NOTES.search(before):
            notes = {name: text or "" for name, text in _NOTE.findall(found[1])}
            before = before[: found.start()]
        if match[1] not in ("", "sh", "console", "text") and (named := _FILE.search(before)):
            notes.setdefault("file", named[1])
        yield Block(path.name, page[: match.start()].count("\n") + 1, match[1], match[2], notes)


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{7,64}\b"), "N"),
    (re.compile(r'("\w+": ?)(?:"(?:[^"\\]|\\.)*"|[-\d.eE]+|true|false|null)'), r"\1V"),
    (re.compile(r"(?<![A-Za-z_])(?<![A-Za-z]-)\d+(?:[-.,:T]\d+)*Z?"), "N"),
    (re.compile(r"\bN ?(?:ms|s|m|h|d|B|KiB|MiB|GiB|[KMGT])\b"), "N"),
    (re.compile(r"\s+"), " "),
)


def shape(line: str) -> str:
    """The line without what is another each time."""
    for mask, put in _MASKS:
        line = mask.sub(put, line)
    return line.strip()


def differences(expected: list[str], found: list[str], *, table: bool) -> list[str]:
    """What of the output is not as the page has it."""
    if table and expected:
        expected, found = _rows(expected), _rows(found)
    left, right = dict.fromkeys(map(shape, expected)), dict.fromkeys(map(shape, found))
    missing, more = [line for line in left if line not in right], [line for line in right if line not in left]
    for line in list(missing):
        alike = next((other for other in more if _alike(line, other)), None)
        if alike is not None:
            missing.remove(line)
            more.remove(alike)
    return [f"missing: {line}" for line in missing] + [f"not on the page: {line}" for line in more]


def _wrong(line: str, expected: list[str] | None, code: int, output: str) -> list[str]:
    """What a command did otherwise than it says."""
    fails = any(re.match(r"\d+ (?!OK)[A-Z_]+ on|error:|\^C", each) for each in expected or ())
    if bool(code) != fails:
        return [f"ended with {code}", output]
    if not expected:
        return []
    wanted = [each for each in expected if each.strip() and each != "^C"]
    table = re.match(r"qd query|qd file ls|qd job ls|qd job kill", line) is not None
    return differences(wanted, [each for each in output.splitlines() if each.strip()], table=table)


def _rows(lines: list[str]) -> list[str]:
    """A table's heading, whether it has rows, and what is said of them."""
    return [lines[0] if lines else "", *(["rows"] if len(lines) > 1 else [])]


#: lines whose every word is ours
_OURS = re.compile(r"error:|hint:|incomplete:|N [A-Z_]+ on|\S+ (OK|ERROR|TIMEOUT|KILLED|EXPIRED|UNKNOWN_CMD)\b")
#: of lines that have no node's name in front
_LIKE = 0.6


def _alike(line: str, other: str) -> bool:
    """Whether both may be the same: one is cut, or both are what a program of the same node says in figures."""
    if "…" in line:
        return re.fullmatch(".*".join(map(re.escape, line.split("…"))), other) is not None
    if _OURS.match(line) or _OURS.match(other):
        return False
    (prefix, bar, said), (of, _, also) = line.rpartition(" | "), other.rpartition(" | ")
    figures = re.search(r"\bN\b", said) is not None and re.search(r"\bN\b", also) is not None
    return figures and prefix == of and (bool(bar) or SequenceMatcher(None, said, also).ratio() > _LIKE)


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────
class Reader:
    """Someone who tries what a page says, in a folder of his own.

    `replaced`: ports and paths that are others here; `programs`: command lines of programs that need more here.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        replaced: Mapping[str, str],
        programs: Mapping[str, str],
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shims = folder.parent / "programs"
        shims.mkdir(exist_ok=True)
        lines = {"qd": f"{sys.executable} -m quarterdeck.cli.main", "python": sys.executable, **programs}
        for name, line in lines.items():
            (shims / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (shims / name).chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
        self._environment = {**inherited, **environment, "PATH": f"{shims}:{os.environ['PATH']}"}
        self._replaced = replaced
        self.wrong: list[str] = []

    def read(self, page: Path) -> None:
        """All blocks; what is wrong is in `wrong`."""
        for block in blocks(page):
            if "not run" not in block.notes:
                self._block(block)

    def _block(self, block: Block) -> None:
        if before := block.notes.get("before"):
            code, output = self._run(self._here(before))
            if code:
                self.wrong.append(f"{block.place}: before it: {before}\n{output}")
        text = self._here(block.text)
        if name := block.notes.get("file"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif "output of" in block.notes:
            self._command(block, self._here(block.notes["output of"]), text.splitlines())
        elif block.language == "python":
            self._python(block, text)
        elif block.language == "toml":
            self._configuration(block, text)
        else:
            self._commands(block, text)

    def _commands(self, block: Block, text: str) -> None:
        """Each with its output; without prompts each line is one, of which nothing is said."""
        if not text.lstrip().startswith("$ "):
            lines = text.replace("\\\n", " ").splitlines()
            for line in lines:
                endless = "endless" in block.notes and line == lines[-1]
                self._command(block, line, None, endless=endless or line.startswith("qd tail"))
            return
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, *expected = part.rstrip("\n").split("\n")
            self._command(block, line, expected)

    def _command(self, block: Block, line: str, expected: list[str] | None, *, endless: bool = False) -> None:
        stops = expected is not None and "^C" in expected
        after = expected.index("^C") if expected is not None and stops else 0
        if expected and line.startswith("cat ") and not (self.folder / line[4:]).exists():
            (self.folder / line[4:]).write_text("\n".join(expected) + "\n")
        deadline = time.monotonic() + SETTLE_S
        while True:
            code, output = self._run(line, stop_after=after if stops else None, endless=endless)
            wrong = _wrong(line, expected, code, output)
            if not wrong or endless or not _LOOKS.match(line) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if wrong and not (endless and expected is None and code != FAILED):
            self.wrong.append("\n  ".join((f"{block.place}: `{line}`", *wrong)))

    def _python(self, block: Block, text: str) -> None:
        name = f"block_{block.line}.py"
        (self.folder / name).write_text(text)
        code, output = self._run(f"python {name}", endless="endless" in block.notes)
        if code == FAILED or (code and "endless" not in block.notes):
            self.wrong.append(f"{block.place}: the program ended with {code}\n{output}")

    def _configuration(self, block: Block, text: str) -> None:
        path = self.folder / f"block_{block.line}.toml"
        path.write_text(text)
        for section in ("server", "agent"):
            code, output = self._run(f"qd config show {section} > shown", QD_CONFIG=str(path), QD_HTTP=None)
            if code:
                self.wrong.append(f"{block.place}: this configuration is refused\n{output}")

    def _here(self, text: str) -> str:
        for there, here in self._replaced.items():
            text = re.sub(rf"(?<!\w){re.escape(there)}(?!\w)", here, text)
        return text

    def _run(
        self, line: str, *, stop_after: int | None = None, endless: bool = False, **environment: str | None
    ) -> tuple[int, str]:
        """The exit code, and all that was printed. A command that is to be stopped gets Ctrl-C after so many lines."""
        merged = {k: v for k, v in (self._environment | environment).items() if v is not None}
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.folder,
                env=merged,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                if endless:
                    _sleep_while(process, ENDLESS_S)
                elif stop_after is not None:
                    _wait_for_lines(process, output.fileno(), stop_after)
                if endless or stop_after is not None:
                    ended = process.poll()
                    if ended is not None:
                        output.seek(0)
                        return FAILED, f"it ended by itself, with {ended}\n{output.read()}"
                    os.killpg(process.pid, signal.SIGINT)
                code = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                code = -1
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            return code, output.read()


def _sleep_while(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _wait_for_lines(process: subprocess.Popen[bytes], output: int, lines: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while os.pread(output, 1 << 20, 0).count(b"\n") < lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
