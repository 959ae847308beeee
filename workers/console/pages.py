"""
How a page of the console is made: its template, its headers, and the headers of what it links to.

Everything that a template prints is escaped: the words of vendors, of Buildr and of callers are
text.
"""

import hashlib
from collections.abc import Mapping
from functools import cache, partial
from http import HTTPStatus
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from workers.console.formats import FILTERS

PREFIX: Final = "/console"
# Nothing inline, nothing from elsewhere, and no other site may frame it.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
# Pages hold telephone numbers: no cache on the path may keep them.
NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
ASSET_TYPES: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
YEAR_S: Final = 31_536_000
SAFE_IN_URL: Final = ":/%#?=@[]!$&'()*+,;"


def page(
    template: str,
    context: Mapping[str, object],
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An HTML page of the console."""
    text = _environment().get_template(template).render(context)
    return html(text, status=status, headers=headers)


def html(
    text: str, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """An HTML page with the headers that keep its reader safe."""
    return Response(
        text,
        status_code=status,
        media_type="text/html",
        headers={**SECURITY_HEADERS, **NOT_STORED, **(headers or {})},
    )


def redirect(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Send the browser to another page of this host, with GET."""
    # Quoted: a path may hold a line feed, which would end the header.
    location = quote(url, safe=SAFE_IN_URL)
    return Response(
        status_code=HTTPStatus.SEE_OTHER,
        headers={**SECURITY_HEADERS, **NOT_STORED, "Location": location, **(headers or {})},
    )


def download(text: str, *, name: str) -> Response:
    """A JSON file that the browser saves."""
    return Response(
        text,
        media_type="application/json",
        headers={
            **SECURITY_HEADERS,
            **NOT_STORED,
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


def asset(name: str) -> Response | None:
    """A style sheet, script or picture of the package; None if there is none of this name."""
    media_type = ASSET_TYPES.get(name)
    if media_type is None:
        return None
    return asset_response(_read_asset(name), media_type)


def asset_response(content: bytes, media_type: str) -> Response:
    """A file of the package, which a browser keeps."""
    # Its address changes with what it holds.
    headers = {**SECURITY_HEADERS, "Cache-Control": f"public, max-age={YEAR_S}, immutable"}
    return Response(content, media_type=media_type, headers=headers)


def asset_url(name: str, prefix: str = PREFIX) -> str:
    """The address of an asset below the pages that show it."""
    return f"{prefix}/assets/{name}?v={digest_of(_read_asset(name))}"


def digest_of(content: bytes) -> str:
    """Enough of a digest to tell versions of a file apart."""
    return hashlib.sha256(content).hexdigest()[:12]


@cache
def _read_asset(name: str) -> bytes:
    return (files("workers.console") / "assets" / name).read_bytes()


@cache
def _environment() -> Environment:
    return environment_of("workers.console", PREFIX)


def environment_of(package: str, prefix: str) -> Environment:
    """The templates of a package, whose pages are below a prefix."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals["asset_url"] = partial(asset_url, prefix=prefix)
    return environment
