"""What a replaced file had: its mode, owner, attributes, ACL and holes."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.model.jobs import JobOffer
from tests.unit.agent.commands.file_node import CONTENT, DIGEST, Node

ACL = struct.pack(
    "<IHHIHHIHHIHHIHHI", 2, 1, 6, 2**32 - 1, 2, 4, 65534, 4, 4, 2**32 - 1, 16, 6, 2**32 - 1, 32, 0, 2**32 - 1
)


async def test_a_replaced_files_attributes_and_acl_are_kept(node: Node) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    try:
        os.setxattr(target, "user.origin", b"here")
        os.setxattr(target, "system.posix_acl_access", ACL)
    except OSError as error:
        pytest.skip(f"this file system has neither: {error}")
    await node.put(target)
    assert target.read_bytes() == CONTENT
    assert os.getxattr(target, "user.origin") == b"here"
    assert os.getxattr(target, "system.posix_acl_access") == ACL


async def test_what_the_system_does_not_let_be_kept_is_said(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    (node.folder / "other").hardlink_to(target)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "listxattr", lambda *_, **__: ["security.selinux"])
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: b"x")
    monkeypatch.setattr(os, "setxattr", refused)
    outcome = await node.commands.commands()["put_file"].run(
        JobOffer(id="job", cmd="put_file", args={"path": str(target), "sha256": DIGEST})
    )
    assert outcome.reason == (
        "The file it replaced had security.selinux (Operation not permitted): not kept. "
        "The file it replaced has 1 more hard link, with the old content."
    )


@pytest.mark.parametrize(("asked", "is_"), [("755", "4755"), ("0755", "0755"), ("", "4711"), ("2750", "2750")])
async def test_three_digits_of_a_mode_keep_what_they_do_not_name(node: Node, asked: str, is_: str) -> None:
    await node.files.add(CONTENT)
    target = node.folder / "app.bin"
    target.write_text("before")
    target.chmod(0o4711)
    assert (await node.put(target, mode=asked)).mode == is_


async def test_a_replaced_file_with_holes_is_replaced_by_one(node: Node) -> None:
    content = bytes(2 * ARTEFACT_CHUNK_BYTES) + b"x" + bytes(ARTEFACT_CHUNK_BYTES + 5)
    digest = await node.files.add(content)
    sparse, full = node.folder / "sparse", node.folder / "full"
    with sparse.open("wb") as file:
        file.truncate(2**20)
    full.write_text("before")
    for target in (sparse, full):
        await node.put(target, sha256=digest)
        assert target.read_bytes() == content
    assert sparse.stat().st_blocks * 512 < len(content) // 2 < full.stat().st_blocks * 512
