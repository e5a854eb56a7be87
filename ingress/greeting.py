"""What ``chat-orchestrator up`` says when it serves: where everything is, what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from ingress.up import api_url_of
from storage.settings import Settings

__all__ = ["greeting"]

_FIRST_MESSAGE = """\
  curl -s {url}/api/v1/enhanced-handle-message \\
    -H "Authorization: Bearer {token}" -H 'Content-Type: application/json' \\
    -d '{{"conversation_id": "conv_'$(date +%s)'", "message_id": "msg_1", "sender_id": "user_1",
         "sender_type": "user", "message_content": "Hello", "timestamp": '$(date +%s)'}}'"""


def greeting(settings: Settings, made_tokens: Mapping[str, str]) -> str:
    """Describe a start. Only tokens that were made for it are shown, no other secret."""
    url = api_url_of(settings)
    lines = [
        "",
        f"chat-orchestrator serves at {url}",
        f"  console        {url}/console asks for ADMIN_ACCESS_TOKEN",
        f"  health         {url}/health",
        f"  Ray            {settings.ray_address}; its dashboard asks for RAY_AUTH_TOKEN",
        f"  PostgreSQL     {_without_password(settings.postgres_dsn)}",
        f"  Redis          {_without_password(settings.redis_dsn)}",
        "",
    ]
    if made_tokens:
        lines.append("Tokens of this start (set them yourself to keep them):")
        lines += [f"  export {name}={token}" for name, token in made_tokens.items()]
        lines.append("")
    token = made_tokens.get("PANCAKE_ACCESS_TOKEN", "$PANCAKE_ACCESS_TOKEN")
    lines.append("Say something, in another terminal:")
    if "PANCAKE_ACCESS_TOKEN" not in made_tokens:
        lines.append("  export PANCAKE_ACCESS_TOKEN=...   # as you have set it")
    lines += [
        _FIRST_MESSAGE.format(url=url, token=token),
        "",
        "",
        "Or chat with the bot: .venv/bin/chat-orchestrator chat",
        "Hosts, leases, queues: make status. Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _without_password(url: str | None) -> str:
    """Name a server by scheme, address and name; options may hold secrets as well."""
    if url is None:
        return "none"
    parts = urlsplit(url)
    if parts.password is None and "password" not in parts.query:
        return url
    sockets = parse_qs(parts.query).get("host", [])
    address = parts.netloc.rpartition("@")[2] or "".join(sockets)
    return f"{parts.scheme}://{address}{parts.path}"
