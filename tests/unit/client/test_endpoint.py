from pathlib import Path

import pytest

from quarterdeck.client.endpoint import ADMIN_TOKEN_FILE, HTTP_ADDRESS_FILE, Endpoint
from quarterdeck.model.errors import BadConfig, Unauthenticated


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QD_HTTP", "QD_TOKEN", "QD_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_what_the_server_left_in_its_home_is_found(tmp_path: Path) -> None:
    (tmp_path / ADMIN_TOKEN_FILE).write_text("secret\n")
    (tmp_path / HTTP_ADDRESS_FILE).write_text("127.0.0.1:9\n")
    assert Endpoint.find(home=tmp_path) == Endpoint(url="http://127.0.0.1:9", token="secret")


def test_the_environment_wins_over_the_home_and_arguments_win_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ADMIN_TOKEN_FILE).write_text("secret")
    monkeypatch.setenv("QD_HTTP", "https://deck.example")
    monkeypatch.setenv("QD_TOKEN", "other")
    assert Endpoint.find(home=tmp_path) == Endpoint(url="https://deck.example", token="other")
    assert Endpoint.find(http="h:1", token="mine", home=tmp_path) == Endpoint(url="http://h:1", token="mine")


def test_without_a_token_the_error_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match=str(tmp_path)) as caught:
        Endpoint.find(home=tmp_path)
    assert "qd up" in caught.value.hint


def test_the_server_of_a_home_is_found_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ADMIN_TOKEN_FILE).write_text("secret")
    (tmp_path / HTTP_ADDRESS_FILE).write_text("127.0.0.1:9")
    monkeypatch.setenv("QD_HTTP", "127.0.0.1:0")
    monkeypatch.setenv("QD_TOKEN", "other")
    assert Endpoint.of_home(tmp_path) == Endpoint(url="http://127.0.0.1:9", token="secret")


@pytest.mark.parametrize("http", ["http://[::1", "foo://deck", "a b", "deck:99999", "deck:port", "http://"])
def test_an_address_that_is_none_is_an_error_in_words(http: str) -> None:
    with pytest.raises(BadConfig, match="not a server's address"):
        Endpoint.find(http=http, token="t")


def test_a_token_that_cannot_be_one_is_an_error_in_words() -> None:
    with pytest.raises(Unauthenticated, match="characters"):
        Endpoint.find(http="deck:1", token="t\u00f6ken")
