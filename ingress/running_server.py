"""Where the running server is, and by which token it is asked: for commands beside it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from ingress.run_file import RunFile
from ingress.up import api_url_of
from storage.settings import Settings

__all__ = ["NoServerFound", "RunningServer", "find_server"]


class NoServerFound(RuntimeError):
    """Nothing says where a server runs, or by which token it is asked; the text is for a person."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """An address, and the tokens that are known for it."""

    url: str
    messages_token: SecretStr | None
    admin_token: SecretStr | None

    @property
    def any_token(self) -> SecretStr:
        """Return the weakest one that may send messages. Raises ``NoServerFound``."""
        token = self.messages_token or self.admin_token
        if token is None:
            raise NoServerFound(
                f"no token is known for {self.url}; set PANCAKE_ACCESS_TOKEN, or run this where "
                "`chat-orchestrator up` was run"
            )
        return token


def find_server(settings: Settings, url: str | None = None) -> RunningServer:
    """Find the server at ``url``, or else the one that runs on the data folder, or as set.

    Tokens are those that are set. The ones of the data folder's server go to that one only.
    Raises ``NoServerFound`` where nothing names a server.
    """
    running = RunFile.read(settings.data_dir)
    tokens = settings.pancake_access_token, settings.admin_access_token
    if running is None and url is None and tokens == (None, None):
        raise NoServerFound(
            "no server runs on this data folder; start one with `chat-orchestrator up`, or set "
            "API_HOST, API_PORT and the tokens"
        )
    found = (url or (running.api_url if running else api_url_of(settings))).rstrip("/")
    if running is None or found != running.api_url:
        return RunningServer(found, *tokens)
    return RunningServer(
        found,
        tokens[0] or _secret(running.pancake_access_token),
        tokens[1] or _secret(running.admin_access_token),
    )


def _secret(text: str | None) -> SecretStr | None:
    return SecretStr(text) if text else None
