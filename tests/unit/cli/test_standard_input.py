"""What `qd run` passes on as standard input: pipes and files of any size."""

from __future__ import annotations

import io
import os
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from quarterdeck.model.errors import BadInput, StorageFull
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, JobState
from tests.unit.cli.conftest import CallQd
from tests.unit.cli.run_client import FakeClient, job


def test_standard_input_is_passed_on_whatever_it_is(
    call_qd: CallQd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    large = b"x" * COMMAND_LIMIT_BYTES
    for given in (b"a\nb", b"\xff", large):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
        assert call_qd(client, "run", "--stdin", "cat") == 0
    assert [request.data for request in client.asked] == ["a\nb", "", ""]
    assert [client.uploaded[request.args["stdin_sha256"]] for request in client.asked[1:]] == [b"\xff", large]
    monkeypatch.setattr(sys, "stdin", None)
    assert call_qd(client, "run", "--stdin", "cat") == BadInput.exit_code
    assert "it is closed" in capsys.readouterr().err


def test_input_of_any_size_passes_through_a_file_in_pieces(
    call_qd: CallQd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Source(io.RawIOBase):
        """As many zeros as were asked for; no read may ask for all of them."""

        left = 64 * 1024 * 1024

        def read(self, size: int = -1, /) -> bytes:
            assert 0 < size <= 1024 * 1024
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    client = FakeClient("a", events=[job("a", JobState.OK)])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Source()))
    assert call_qd(client, "run", "--stdin", "cat") == 0
    ((sha256, content),) = client.uploaded.items()
    assert (client.asked[0].args["stdin_sha256"], len(content)) == (sha256, 64 * 1024 * 1024)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TMPDIR", "/dev")

    def full(**_: object) -> BinaryIO:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Source()))
    assert call_qd(client, "run", "--stdin", "cat") == StorageFull.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert "Standard input is kept in /dev until it is sent" in said
    assert "No space left on device" in said
    assert "Set TMPDIR" in said


def test_a_pipe_is_read_if_something_is_in_it_and_a_file_too(
    call_qd: CallQd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    (tmp_path / "file").write_text("of a file")

    def call(descriptor: int, *options: str) -> str:
        with os.fdopen(descriptor) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert call_qd(client, "run", *options, "cat") == 0
        return client.asked[-1].data

    assert call(os.open(tmp_path / "file", os.O_RDONLY)) == "of a file"
    assert call(os.open(tmp_path / "file", os.O_RDONLY), "--no-stdin") == ""
    assert call(os.open(os.devnull, os.O_RDONLY)) == ""
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    os.close(writing)
    assert call(reading) == "piped"
    ours, theirs = socket.socketpair()  # as of a remote shell
    theirs.sendall(b"sent")
    theirs.close()
    assert call(ours.detach()) == "sent"
    assert "--stdin" not in capsys.readouterr().err
    reading, writing = os.pipe()  # of somebody who holds it open, and says nothing
    assert call(reading) == ""
    assert "use --stdin to wait for it" in capsys.readouterr().err
    os.close(writing)
