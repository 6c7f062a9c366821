"""Certificates of the link: the identity in a node's certificate, and its issuer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from quarterdeck.link.certificates import (
    certificates_from_pem,
    identity_of,
    issued_by,
    key_from_pem,
    key_to_pem,
    lifetime_left,
    new_key,
    new_request,
    node_uri,
)
from quarterdeck.link.join_tokens import new_join_token
from quarterdeck.model.errors import BadInput, Unauthenticated
from quarterdeck.server.ca import CertificateAuthority


def test_key_survives_pem() -> None:
    key = new_key()
    assert key_from_pem(key_to_pem(key)).private_numbers() == key.private_numbers()


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_pem_is_bad_input(pem: bytes) -> None:
    with pytest.raises(BadInput):
        key_from_pem(pem)
    with pytest.raises(BadInput):
        certificates_from_pem(pem)


def test_identity_is_read_from_the_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path, certificate_days=30)
    certificate = authority.issue(new_request(new_key(), "any name"), agent_id="agent-7", gid=2, nid=7)
    identity = identity_of(certificate)
    assert (identity.agent_id, identity.gid, identity.nid) == ("agent-7", 2, 7)
    assert identity.serial == f"{certificate.serial_number:x}"
    assert issued_by(certificate, [authority.certificate])
    assert 0.9 < lifetime_left(certificate) <= 1.0
    assert lifetime_left(certificate, certificate.not_valid_after_utc + timedelta(days=1)) < 0


def test_a_certificate_without_a_node_identifies_no_agent(tmp_path: Path) -> None:
    certificate = certificates_from_pem(new_join_token(bytes(32))[2])[0]
    with pytest.raises(Unauthenticated):
        identity_of(certificate)


@pytest.mark.parametrize("agent_id", ["", "a/b", "a b", "x" * 129, "ü"])
def test_agent_ids_that_would_not_survive_a_uri_are_refused(agent_id: str) -> None:
    with pytest.raises(BadInput):
        node_uri(gid=1, nid=1, agent_id=agent_id)
