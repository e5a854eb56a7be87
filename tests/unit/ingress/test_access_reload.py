"""New tokens are taken from files while the server runs; what cannot be used changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingress.access_reload import AccessReload, watch_access
from ingress.auth import Authenticator
from ingress.errors import Unauthorized
from storage.settings import Settings, load_settings

FIRST, SECOND = "first-token-0123456", "second-token-0123456"
KEY_OF_AN_UNKNOWN_KIND = (
    r"-----BEGIN PUBLIC KEY-----\nMA0wBQYDKgMEAwQAYWJj\n-----END PUBLIC KEY-----"
)
LOOK_SECONDS = 0.01
WAIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PANCAKE_ACCESS_TOKEN", "ADMIN_ACCESS_TOKEN", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def write(text: str, path: str = ".env") -> None:
    Path(path).write_text(text)


def is_valid(who: Authenticator, token: str) -> bool:
    try:
        who.authenticate(f"Bearer {token}".encode())
    except Unauthorized:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def watched(
    tell: Callable[[Settings], None] = lambda _: None,
) -> AsyncIterator[Authenticator]:
    settings = load_settings()
    who = Authenticator(settings)
    reload = AccessReload(load_settings, tell)
    async with watch_access(settings, reload, who.renew, LOOK_SECONDS):
        yield who


async def test_a_token_is_replaced_in_three_steps() -> None:
    write(f"ADMIN_ACCESS_TOKEN={FIRST}\n")
    async with watched() as who:
        with capture_logs() as lines:
            write(f"ADMIN_ACCESS_TOKEN={SECOND}\nADMIN_ACCESS_TOKEN_PREVIOUS={FIRST}\n")
            await until(lambda: is_valid(who, SECOND))
            assert is_valid(who, FIRST)
            write(f"ADMIN_ACCESS_TOKEN={SECOND}\n")
            await until(lambda: not is_valid(who, FIRST))
            assert is_valid(who, SECOND)
        changed = [line["changed"] for line in lines if line["event"] == "access_changed"]
        assert changed == [
            ["ADMIN_ACCESS_TOKEN", "ADMIN_ACCESS_TOKEN_PREVIOUS"],
            ["ADMIN_ACCESS_TOKEN_PREVIOUS"],
        ]
        assert FIRST not in repr(lines)


async def test_files_of_secrets_are_watched_too_also_behind_links() -> None:
    # As Kubernetes does it: a link to a folder is put in the place of another, all at once.
    folder = Path("secrets")
    for version, token in (("1", FIRST), ("2", SECOND)):
        (folder / version).mkdir(parents=True)
        (folder / version / "admin_access_token").write_text(token)
    (folder / "now").symlink_to("1")
    (folder / "admin_access_token").symlink_to("now/admin_access_token")
    write("ADMIN_ACCESS_TOKEN_FILE=secrets/admin_access_token\n")
    async with watched() as who:
        assert is_valid(who, FIRST)
        (folder / "next").symlink_to("2")
        (folder / "next").rename(folder / "now")
        await until(lambda: is_valid(who, SECOND))
        assert not is_valid(who, FIRST)


async def test_a_file_that_is_named_later_is_watched_from_then_on() -> None:
    write(f"ADMIN_ACCESS_TOKEN={FIRST}\n")
    async with watched() as who:
        with capture_logs() as lines:
            write("ADMIN_ACCESS_TOKEN_FILE=token\n")
            await until(lambda: any(it["event"] == "access_not_changed" for it in lines))
        assert is_valid(who, FIRST)
        write(SECOND, "token")
        await until(lambda: is_valid(who, SECOND))
        assert not is_valid(who, FIRST)


@pytest.mark.parametrize(
    "unusable",
    [
        "JWT_PUBLIC_KEY=nonsense",
        f"JWT_PUBLIC_KEY={KEY_OF_AN_UNKNOWN_KIND}",
        "JWT_PUBLIC_KEY_FILE=no\0path",
        "WEBHOOK_SECRET=nonsense",
        "ENVIRONMENT=production",
        "RATE_LIMIT=nonsense",
    ],
)
async def test_what_cannot_be_used_changes_nothing_and_is_said(unusable: str) -> None:
    write(f"ADMIN_ACCESS_TOKEN={FIRST}\n")
    async with watched() as who:
        with capture_logs() as lines:
            write(f"ADMIN_ACCESS_TOKEN=weak\n{unusable}\n")
            await until(lambda: any(it["event"] == "access_not_changed" for it in lines))
        name, _, value = unusable.partition("=")
        assert name in lines[0]["error"] or value in lines[0]["error"]
        assert is_valid(who, FIRST)
        assert not is_valid(who, "weak")
        write(f"ADMIN_ACCESS_TOKEN={SECOND}\n")
        await until(lambda: is_valid(who, SECOND))


async def test_a_token_that_is_taken_away_without_another_stays() -> None:
    write(f"ADMIN_ACCESS_TOKEN={FIRST}\nPANCAKE_ACCESS_TOKEN=other-token-0123456\n")
    async with watched() as who:
        write(f"PANCAKE_ACCESS_TOKEN={SECOND}\n")
        await until(lambda: is_valid(who, SECOND))
        assert is_valid(who, FIRST)


async def test_the_new_settings_are_told() -> None:
    told: list[Settings] = []
    write(f"ADMIN_ACCESS_TOKEN={FIRST}\n")
    async with watched(told.append):
        write(f"ADMIN_ACCESS_TOKEN={SECOND}\n")
        await until(lambda: bool(told))
    (settings,) = told
    assert settings.admin_access_token is not None
    assert settings.admin_access_token.get_secret_value() == SECOND


async def test_the_environment_cannot_be_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_ACCESS_TOKEN", FIRST)
    async with watched() as who:
        write(f"ADMIN_ACCESS_TOKEN={SECOND}\nADMIN_ACCESS_TOKEN_PREVIOUS=marker-token-01234\n")
        await until(lambda: is_valid(who, "marker-token-01234"))
        assert is_valid(who, FIRST)
        assert not is_valid(who, SECOND)
