"""The certificate authority: created once, private, and strict about requests and certificates."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from quarterdeck.link.certificates import (
    SERVER_NAME,
    certificates_from_pem,
    key_from_pem,
    lifetime_left,
    new_key,
    new_request,
)
from quarterdeck.model.errors import BadConfig, BadInput, Unauthenticated
from quarterdeck.server.ca import CertificateAuthority


def open_authority(home: Path, *, days: float = 30) -> CertificateAuthority:
    return CertificateAuthority.open(home, certificate_days=days)


def test_made_once_and_private(tmp_path: Path) -> None:
    first, second = open_authority(tmp_path), open_authority(tmp_path)
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 32
    assert stat.S_IMODE((tmp_path / "ca" / "ca.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_a_damaged_file_is_never_replaced(tmp_path: Path) -> None:
    open_authority(tmp_path)
    path = tmp_path / "ca" / "ca.pem"
    damaged = path.read_bytes()[:100]
    path.write_bytes(damaged)
    with pytest.raises(BadConfig, match=r"ca\.pem") as caught:
        open_authority(tmp_path)
    assert "backup" in caught.value.hint
    assert path.read_bytes() == damaged


def test_recognises_its_own_and_only_its_own(tmp_path: Path) -> None:
    ours, foreign = open_authority(tmp_path / "a"), open_authority(tmp_path / "b")
    request = new_request(new_key(), "x")
    assert ours.identify(ours.issue(request, agent_id="a", gid=1, nid=2)).nid == 2
    with pytest.raises(Unauthenticated, match="not issued by this fleet"):
        ours.identify(foreign.issue(request, agent_id="a", gid=1, nid=2))


def test_an_expired_certificate_identifies_no_agent(tmp_path: Path) -> None:
    authority = open_authority(tmp_path, days=-0.01)
    certificate = authority.issue(new_request(new_key(), "x"), agent_id="a", gid=1, nid=2)
    with pytest.raises(Unauthenticated, match="expired"):
        authority.identify(certificate)


@pytest.mark.parametrize(
    "csr", [b"", b"garbage", b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----"]
)
def test_a_damaged_request_is_bad_input(tmp_path: Path, csr: bytes) -> None:
    with pytest.raises(BadInput):
        open_authority(tmp_path).issue(csr, agent_id="a", gid=1, nid=1)


def test_serial_numbers_differ(tmp_path: Path) -> None:
    authority, request = open_authority(tmp_path), new_request(new_key(), "x")
    serials = {authority.issue(request, agent_id="a", gid=1, nid=1).serial_number for _ in range(10)}
    assert len(serials) == 10


def test_the_leaf_is_kept_until_it_lacks_a_name_or_nears_its_end(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    leaf = authority.server_leaf(["fleet.example", "10.0.0.1"])
    assert authority.server_leaf(["fleet.example"]) == leaf
    certificate, ca = certificates_from_pem(leaf.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {SERVER_NAME, "localhost", "fleet.example"} <= set(names.get_values_for_type(x509.DNSName))
    assert ca == authority.certificate
    assert key_from_pem(leaf.key_pem).public_key() == certificate.public_key()
    assert authority.server_leaf(["other.example"]) != leaf
    short = open_authority(tmp_path / "short", days=0.001)
    worn = short.server_leaf([])
    assert lifetime_left(certificates_from_pem(worn.certificate_pem)[0]) < 1 / 3
    assert short.server_leaf([]) != worn


def test_a_damaged_leaf_is_made_anew(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    leaf = authority.server_leaf([])
    (tmp_path / "ca" / "server.pem").write_bytes(b"rubbish")
    assert authority.server_leaf([]) != leaf
