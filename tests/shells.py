"""Real shells that complete a line, with the script of `qd completion`: what they offer, and what the line is then."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.support import require

#: seconds within which a shell has to answer
DEADLINE_S = 60.0


class Completed(NamedTuple):
    """What a shell makes of a line when the user presses TAB at its end."""

    offered: list[str]  #: sorted
    line: str  #: "" where it is not known


class Shell(ABC):
    """A shell that has read the completion script. A context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str], script: str) -> None:
        self.folder = folder
        self.environment = {**environment, "HOME": str(folder), "TERM": "xterm", "OUT": str(folder)}
        self.script = script

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def complete(self, line: str) -> Completed:
        """Complete the last word of a line."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the shell."""


class Fish(Shell):
    """Fish prints what it would offer; there is no line."""

    def complete(self, line: str) -> Completed:
        (self.folder / "qd.fish").write_text(self.script)
        done = subprocess.run(
            ["fish", "--no-config", "-c", 'source $OUT/qd.fish; complete -C "$argv[1]"', line],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
        assert not done.stderr, done.stderr
        return Completed(sorted(each.partition("\t")[0] for each in done.stdout.splitlines()), "")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing runs between two calls."""


class _Interactive(Shell):
    """A shell on a terminal, to which keys are sent. It writes `offered` and `line`, then `done`, into $OUT."""

    argv: tuple[str, ...]
    setup: str
    keys: str  #: complete the line, write the files, and clear it

    def __enter__(self) -> Self:
        (self.folder / "script").write_text(self.script)
        (self.folder / "setup").write_text(self.setup)
        self._terminal, child = pty.openpty()
        self._process = subprocess.Popen(
            self.argv, env=self.environment, stdin=child, stdout=child, stderr=child, start_new_session=True
        )
        os.close(child)
        self._screen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send('. "$OUT/setup"\r')
        self._wait_for("ready")
        return self

    def complete(self, line: str) -> Completed:
        for name in ("offered", "line", "done"):
            (self.folder / name).unlink(missing_ok=True)
        self._send(line + self.keys)
        self._wait_for("done")
        offered = self.folder / "offered"
        found = offered.read_text().split() if offered.exists() else []
        return Completed(sorted(set(found)), (self.folder / "line").read_text().rstrip("\n"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._terminal)

    def _send(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _read(self) -> None:
        try:
            while data := os.read(self._terminal, 4096):
                self._screen += data
        except OSError:  # the shell has ended
            return

    def _wait_for(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, bytes(self._screen[-4000:]).decode(errors="replace")
            time.sleep(0.02)


class Bash(_Interactive):
    """Bash with its usual characters that end a word, among them "="."""

    argv = ("bash", "--norc", "--noprofile", "-i")
    setup = r"""
bind 'set show-all-if-ambiguous on'
bind 'set completion-query-items 0'
bind 'set page-completions off'
. "$OUT/script"
completer=$(complete -p qd | sed 's/.*-F \([^ ]*\).*/\1/')
offer() { "$completer" "$@"; printf '%s\n' "${COMPREPLY[@]}" > "$OUT/offered"; }
complete -F offer qd
keep_line() { printf '%s\n' "$READLINE_LINE" > "$OUT/line"; : > "$OUT/done"; }
bind -x '"\C-t": keep_line'
: > "$OUT/ready"
"""
    keys = "\t\x14\x15"


class Zsh(_Interactive):
    """Zsh with its completion system; the script is in a folder of $fpath."""

    argv = ("zsh", "-f", "-i")
    load = r"""
mkdir -p $OUT/completions && cp $OUT/script $OUT/completions/_qd
fpath=($OUT/completions $fpath)
autoload -Uz compinit && compinit -u -d $OUT/dump
"""
    rest = r"""
unset zle_bracketed_paste
offered=()
compadd() {
  local -a found
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
    builtin compadd -O found "$@"
    offered+=("${found[@]}")
  fi
  builtin compadd "$@"
}
keep_line() {
  offered=()
  zle complete-word
  print -rl -- "${offered[@]}" > $OUT/offered
  print -r -- "$BUFFER" > $OUT/line
  BUFFER=
  : > $OUT/done
}
zle -N keep_line
bindkey '^I' keep_line
: > $OUT/ready
"""
    setup = load + rest
    keys = "\t"


class SourcingZsh(Zsh):
    """Zsh that has sourced the script."""

    setup = "autoload -Uz compinit && compinit -u -d $OUT/dump\n. $OUT/script\n" + Zsh.rest


SHELLS: dict[str, type[Shell]] = {"bash": Bash, "zsh": Zsh, "zsh, sourced": SourcingZsh, "fish": Fish}


def open_shell(name: str, folder: Path, *, environment: Mapping[str, str], script: str) -> Shell:
    """Return a shell of `SHELLS`, which needs to be installed; `folder` is its own."""
    program = name.partition(",")[0]
    require(condition=shutil.which(program) is not None, reason=f"{program} is not installed")
    folder.mkdir(exist_ok=True)
    return SHELLS[name](folder, environment, script)
