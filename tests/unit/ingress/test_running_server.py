"""Which server a command speaks to, and which tokens go there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingress.run_file import RunFile
from ingress.running_server import NoServerFound, find_server
from storage.embedded import DataFolder
from storage.settings import Settings

URL = "http://127.0.0.1:8123"


@pytest.fixture
def empty(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(
        update={"data_dir": tmp_path, "pancake_access_token": None, "admin_access_token": None}
    )


@pytest.fixture
def running(empty: Settings) -> Iterator[Settings]:
    """Settings of a command beside a server that runs on the same data folder."""
    folder = DataFolder(empty.data_dir)
    tokens = {
        "pancake_access_token": SecretStr("its-messages"),
        "admin_access_token": SecretStr("its-admin"),
    }
    RunFile.of(empty.model_copy(update=tokens), URL, {}).write(empty.data_dir)
    yield empty
    folder.close()


def test_the_server_of_the_data_folder_is_found_with_its_tokens(running: Settings) -> None:
    server = find_server(running)

    assert server.url == URL
    assert server.any_token.get_secret_value() == "its-messages"
    assert server.admin_token == SecretStr("its-admin")


def test_a_token_that_is_set_wins(running: Settings) -> None:
    mine = running.model_copy(update={"pancake_access_token": SecretStr("mine")})
    assert find_server(mine).any_token.get_secret_value() == "mine"


def test_another_address_is_never_given_the_tokens_of_the_one_here(running: Settings) -> None:
    server = find_server(running, "http://elsewhere:8000/")

    assert server.url == "http://elsewhere:8000"
    assert server.admin_token is None
    with pytest.raises(NoServerFound, match="PANCAKE_ACCESS_TOKEN"):
        _ = server.any_token


def test_its_own_address_is_given_them(running: Settings) -> None:
    assert find_server(running, URL + "/").any_token.get_secret_value() == "its-messages"


def test_without_a_server_and_a_token_nothing_is_found(empty: Settings) -> None:
    with pytest.raises(NoServerFound, match="chat-orchestrator up"):
        find_server(empty)


def test_with_a_token_the_address_is_the_one_that_is_set(empty: Settings) -> None:
    mine = empty.model_copy(
        update={"admin_access_token": SecretStr("mine"), "api_port": 8456, "api_host": "0.0.0.0"}  # noqa: S104
    )
    server = find_server(mine)

    assert server.url == "http://127.0.0.1:8456"
    assert server.any_token.get_secret_value() == "mine"
