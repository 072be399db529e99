"""Tokens: asked for once while they are good, asked for anew when a broker did not take one, and never shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from syncline.runtime.oauth import AGAIN, EndpointTokens, FileTokens, basic, read_token
from syncline.runtime.security import TokenEndpoint, TokenFile
from tests.certificates import put

URL = "https://login.example/token"


class Endpoint(EndpointTokens):
    """Answers at once; `time` is the clock's."""

    def __init__(self, life: object = 300) -> None:
        self.time, self.asked, self.life = 0.0, 0, life
        login = TokenEndpoint(url=URL, client_id="syncline", client_secret=SecretStr("hush"))
        super().__init__(login, clock=lambda: self.time)

    async def _ask(self) -> Any:
        self.asked += 1
        return {"access_token": f"token-{self.asked}", "token_type": "bearer", "expires_in": self.life}


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    tokens = Endpoint(life=300)
    for time, expected in [(0, "token-1"), (239, "token-1"), (240, "token-2"), (479, "token-2"), (480, "token-3")]:
        tokens.time = time
        assert await tokens.token() == expected


async def test_a_short_one_is_kept_for_most_of_its_life() -> None:
    tokens = Endpoint(life="10")
    for time, expected in [(0, "token-1"), (7.9, "token-1"), (8, "token-2")]:
        tokens.time = time
        assert await tokens.token() == expected


@pytest.mark.parametrize("life", [0, None, "soon", -5])
async def test_one_that_does_not_say_how_long_it_is_good_is_used_once(life: object) -> None:
    tokens = Endpoint(life)
    assert [await tokens.token(), await tokens.token()] == ["token-1", "token-2"]


async def test_a_refused_one_is_replaced_but_not_at_every_try() -> None:
    tokens = Endpoint()
    await tokens.token()
    tokens.refused()
    assert await tokens.token() == "token-1"
    tokens.time = AGAIN
    assert [await tokens.token(), await tokens.token()] == ["token-2", "token-2"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"access_token": "a\x01auth=b", "token_type": "Bearer"},
        {"access_token": "hush", "token_type": "mac"},
        {"access_token": 7, "token_type": "Bearer"},
        {"token_type": "Bearer"},
    ],
)
def test_what_is_no_bearer_token_is_refused_and_not_shown(content: Any) -> None:
    with pytest.raises(KafkaConnectionError, match=f"{URL} answered without a bearer token") as caught:
        read_token(content, 0, URL)
    assert "hush" not in str(caught.value)


async def test_a_token_file_is_read_for_each_connection(tmp_path: Path) -> None:
    path = put(tmp_path / "token", "old.token\n")
    tokens = FileTokens(TokenFile(path=path))
    assert await tokens.token() == "old.token"
    put(path, "new.token")
    assert await tokens.token() == "new.token"
    put(path, "hush hush")
    with pytest.raises(KafkaConnectionError, match=f"{path} holds no token") as caught:
        await tokens.token()
    assert "hush" not in str(caught.value)
    path.unlink()
    with pytest.raises(KafkaConnectionError, match=f"cannot read {path}"):
        await tokens.token()


@given(st.text(), st.text())
def test_whatever_the_client_is_called_it_can_be_read(client: str, secret: str) -> None:
    found = base64.b64decode(basic(client, secret).removeprefix("Basic ")).decode()
    left, _, right = found.partition(":")
    assert (unquote_plus(left), unquote_plus(right)) == (client, secret)


def test_no_repr_shows_a_secret() -> None:
    login = TokenEndpoint(url=URL, client_id="syncline", client_secret=SecretStr("hush"))
    assert "hush" not in repr(login)
