"""Addresses of the database and of Redis, brought into the one form that the clients take."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

__all__ = ["postgres_dsn", "redis_dsn"]


def postgres_dsn(
    url: str | None = None,
    *,
    host: str = "localhost",
    port: int = 5432,
    database: str = "postgres",
    user: str = "postgres",
    password: str | None = None,
    sslmode: str | None = None,
) -> str:
    """Return ``url`` or the parts as ``postgresql://…``; a host that is a path is a Unix socket.

    ``sslmode`` holds unless the URL names one. Raises ``ValueError`` on another scheme.
    """
    if url is None:
        url = _from_parts(host, port, database, user, password)
    parts = _split(url)
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError("begins with postgresql:// or postgresql+asyncpg://")
    # SQLAlchemy's asyncpg dialect calls it `ssl`; libpq and asyncpg itself `sslmode`.
    query = {
        "sslmode" if key == "ssl" else key: value
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    if sslmode:
        query.setdefault("sslmode", sslmode)
    # Written out: urlunsplit drops the empty authority of `postgresql:///name`.
    suffix = f"?{urlencode(query, quote_via=quote, safe='/')}" if query else ""
    return f"postgresql://{parts.netloc}{parts.path}{suffix}"


def _from_parts(host: str, port: int, database: str, user: str, password: str | None) -> str:
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    name = quote(database, safe="")
    if host.startswith("/"):
        return f"postgresql://{who}@/{name}?host={quote(host)}&port={port}"
    return f"postgresql://{who}@{_bracketed(host)}:{port}/{name}"


def redis_dsn(
    url: str | None = None,
    *,
    host: str = "localhost",
    port: int = 6379,
    database: int = 0,
    password: str | None = None,
) -> str:
    """Return ``url`` or the parts as a URL; ``password`` holds unless the URL has one."""
    if url is None:
        url = f"redis://{_bracketed(host)}:{port}/{database}"
    parts = _split(url)
    if password and parts.password is None:
        user, _, address = parts.netloc.rpartition("@")
        netloc = f"{user.removesuffix(':')}:{quote(password, safe='')}@{address}"
        return urlunsplit(parts._replace(netloc=netloc))
    return url


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ValueError("is not a URL") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
