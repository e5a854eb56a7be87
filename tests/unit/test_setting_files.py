"""Settings that stand in files, as secrets of containers do."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.settings import InvalidSettings, load_settings

SECRET = "9f2c1d7b5e8a4063b1c2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ADMIN_ACCESS_TOKEN", "API_PORT", "DATABASE_URL", "JWT_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


def name_file(monkeypatch: pytest.MonkeyPatch, variable: str, content: bytes) -> None:
    path = Path(f"{variable}.txt").absolute()
    path.write_bytes(content)
    monkeypatch.setenv(f"{variable}_FILE", str(path))


def admin_token() -> str | None:
    token = load_settings().admin_access_token
    return token.get_secret_value() if token else None


def test_a_file_holds_the_value_and_its_last_line_end_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name_file(monkeypatch, "ADMIN_ACCESS_TOKEN", f"{SECRET}\n".encode())
    name_file(monkeypatch, "DATABASE_URL", b"postgresql://postgres:secret@db/chat\n")
    name_file(monkeypatch, "API_PORT", b"8001\n")
    settings = load_settings()

    assert admin_token() == SECRET
    assert settings.postgres_dsn == "postgresql://postgres:secret@db/chat"
    assert settings.api_port == 8001


def test_a_key_of_several_lines_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    name_file(monkeypatch, "JWT_PUBLIC_KEY", b"-----BEGIN-----\nabc\n-----END-----\n")

    assert load_settings().jwt_public_key == "-----BEGIN-----\nabc\n-----END-----"


def test_the_environment_wins_over_a_file_that_dot_env_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("token").write_text(SECRET)
    Path(".env").write_text("ADMIN_ACCESS_TOKEN_FILE=token\n")
    assert admin_token() == SECRET
    monkeypatch.setenv("ADMIN_ACCESS_TOKEN", "another-one-of-the-environment")
    assert admin_token() == "another-one-of-the-environment"


def test_a_file_of_the_environment_wins_over_dot_env(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ADMIN_ACCESS_TOKEN=of-the-file-in-the-folder\n")
    name_file(monkeypatch, "ADMIN_ACCESS_TOKEN", SECRET.encode())

    assert admin_token() == SECRET


def test_an_empty_name_and_an_empty_file_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_ACCESS_TOKEN_FILE", "")
    assert admin_token() is None
    name_file(monkeypatch, "ADMIN_ACCESS_TOKEN", b"\n")
    assert admin_token() is None


def test_a_variable_and_its_file_are_not_both_set(monkeypatch: pytest.MonkeyPatch) -> None:
    name_file(monkeypatch, "ADMIN_ACCESS_TOKEN", SECRET.encode())
    monkeypatch.setenv("ADMIN_ACCESS_TOKEN", "of-the-environment")
    with pytest.raises(InvalidSettings, match="ADMIN_ACCESS_TOKEN_FILE: set it or ADMIN_"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b"x" * 70_000, "longer than")],
)
def test_a_file_that_cannot_be_used_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, complaint: str
) -> None:
    if content is None:
        monkeypatch.setenv("ADMIN_ACCESS_TOKEN_FILE", "nowhere")
    else:
        name_file(monkeypatch, "ADMIN_ACCESS_TOKEN", content)
    with pytest.raises(InvalidSettings, match=f"ADMIN_ACCESS_TOKEN_FILE: .*{complaint}") as raised:
        load_settings()
    assert "xxxx" not in str(raised.value)


def test_a_value_of_a_file_that_is_not_valid_is_named_by_its_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name_file(monkeypatch, "API_PORT", b"many")
    with pytest.raises(InvalidSettings, match="API_PORT: "):
        load_settings()
