"""Join tokens: one text, the same credentials on both sides, typos recognised."""

from __future__ import annotations

import pytest

from quarterdeck.link.certificates import certificates_from_pem, key_from_pem
from quarterdeck.link.join_tokens import PREFIX, new_join_token, parse, token_id_of
from quarterdeck.model.errors import BadInput

FINGERPRINT = bytes(range(32))


def test_both_sides_derive_the_same_certificate() -> None:
    text, token_id, certificate_pem = new_join_token(FINGERPRINT)
    parsed = parse(f"  {text}\n")
    assert parsed.token_id == token_id
    assert parsed.certificate_pem == certificate_pem
    assert parsed.ca_pin == FINGERPRINT[:16]
    certificate = certificates_from_pem(certificate_pem)[0]
    assert certificate.public_key() == key_from_pem(parsed.key_pem).public_key()
    assert token_id_of(certificate) == token_id


def test_text_is_short_enough_to_paste_and_never_the_same() -> None:
    texts = {new_join_token(FINGERPRINT)[0] for _ in range(20)}
    assert len(texts) == 20
    assert all(text.startswith(PREFIX) and len(text) <= 100 and text[4:].isalnum() for text in texts)


def test_any_changed_character_is_recognised() -> None:
    text = new_join_token(FINGERPRINT)[0]
    for place in range(len(PREFIX), len(text)):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(BadInput, match="checksum"):
            parse(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "qd1_", "hello", "qd2_" + "A" * 57, "qd1_" + "A" * 56, "qd1_" + "-" * 57, "qd1_" + "ä" * 57]
)
def test_what_is_no_token_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match="join token") as caught:
        parse(text)
    assert "qd token create" in caught.value.hint


def test_the_largest_number_overflows_into_a_checksum_error() -> None:
    with pytest.raises(BadInput, match="checksum"):
        parse(PREFIX + "z" * 57)
