"""Join tokens as text: an operator pastes one on a new host, which may join with it once.

    qd1_ + 57 characters = token id (6 bytes) · secret (16) · CA fingerprint (first 16 of SHA-256) · CRC-32 (4), base 62

The secret becomes a P-256 key (HKDF-SHA256) and the key a self-signed certificate, byte for byte the same on both sides
(RFC 6979 signatures, fixed dates). The server stores that certificate, never the secret, and accepts it in its TLS
handshake; the agent pins the server by the CA's fingerprint. This module never decides whether a token has expired.
"""

from __future__ import annotations

import secrets
import string
import zlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from quarterdeck.link.certificates import certificate_to_pem, key_to_pem
from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct

PREFIX = "qd1_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_BYTES, _SECRET_BYTES, _PIN_BYTES, _CHECK_BYTES = 6, 16, 16, 4
_LENGTH = 57  # characters of base 62 that hold 42 bytes
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, SEC 2 §2.4.2
_COMMON_NAME = "join-"


class ParsedJoinToken(Struct, frozen=True, kw_only=True):
    """The content of a token's text: its id, its credentials, and the CA that it pins."""

    token_id: str
    key_pem: bytes
    certificate_pem: bytes
    ca_pin: bytes  #: the first 16 bytes of the SHA-256 of the CA certificate's DER form


def new_join_token(ca_fingerprint: bytes) -> tuple[str, str, bytes]:
    """Return text, id and certificate (PEM) of a new token for the server with this CA (SHA-256, 32 bytes)."""
    token_id, secret = secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_SECRET_BYTES)
    content = token_id + secret + ca_fingerprint[:_PIN_BYTES]
    text = PREFIX + _to_base62(content + zlib.crc32(content).to_bytes(_CHECK_BYTES, "big"))
    return text, token_id.hex(), parse(text).certificate_pem


def parse(text: str) -> ParsedJoinToken:
    """Return the content of the token; raise `BadInput` when it is not a token or was mistyped."""
    text = text.strip()
    digits = text.removeprefix(PREFIX)
    hint = "Copy the whole token as `qd token create` printed it."
    if digits == text:
        raise BadInput(f"A join token begins with {PREFIX}; this one does not.", hint=hint)
    if len(digits) != _LENGTH or any(digit not in _ALPHABET for digit in digits):
        raise BadInput(
            f"A join token has {_LENGTH} letters and digits after {PREFIX}; this one has {len(digits)} characters"
            " or others among them.",
            hint=hint,
        )
    raw = _from_base62(digits)
    content, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if zlib.crc32(content).to_bytes(_CHECK_BYTES, "big") != check:
        raise BadInput("The join token's checksum does not match: a character was changed.", hint=hint)
    token_id, secret = content[:_ID_BYTES], content[_ID_BYTES:-_PIN_BYTES]
    key = _derive_key(token_id, secret)
    return ParsedJoinToken(
        token_id=token_id.hex(),
        key_pem=key_to_pem(key),
        certificate_pem=certificate_to_pem(_self_signed(key, token_id)),
        ca_pin=content[-_PIN_BYTES:],
    )


def token_id_of(certificate: x509.Certificate) -> str | None:
    """Return the id of the token that this certificate claims, or None. Compare the whole certificate before use."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    return name.removeprefix(_COMMON_NAME) if name.startswith(_COMMON_NAME) else None


def _derive_key(token_id: bytes, secret: bytes) -> ec.EllipticCurvePrivateKey:
    # 48 bytes reduced modulo the order: the bias is below 2^-128 (FIPS 186-5, A.2.1)
    seed = HKDF(hashes.SHA256(), length=48, salt=token_id, info=b"quarterdeck join token 1").derive(secret)
    return ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def _self_signed(key: ec.EllipticCurvePrivateKey, token_id: bytes) -> x509.Certificate:
    """Return the certificate of this token. Its dates are wide: the server judges the expiry by its clock and list."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME + token_id.hex())])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(token_id, "big") + 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        # not a CA: the holder of a token must not be able to sign certificates that the server would trust
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _to_base62(raw: bytes) -> str:
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(_LENGTH, _ALPHABET[0])


def _from_base62(digits: str) -> bytes:
    number = 0
    for digit in digits:
        number = number * 62 + _ALPHABET.index(digit)
    size = _ID_BYTES + _SECRET_BYTES + _PIN_BYTES + _CHECK_BYTES
    return (number % (1 << 8 * size)).to_bytes(size, "big")
