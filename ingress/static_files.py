"""Files of our own package that browsers are given."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from mimetypes import guess_type

from starlette.responses import Response

__all__ = ["CONTENT_SECURITY_POLICY", "static_file"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of pages that need nothing from elsewhere, and nothing inline."""
_CACHE_SECONDS = 3600


def static_file(name: str) -> Response:
    """Return a file of ``ingress/static``. The names are our own, never a client's."""
    content, media_type = _read(name)
    headers = {
        "Cache-Control": f"public, max-age={_CACHE_SECONDS}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, media_type=media_type, headers=headers)


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = files("ingress").joinpath("static", *name.split("/")).read_bytes()
    return content, guess_type(name)[0] or "application/octet-stream"
