"""
The pages of the dial page: templates of its own, the style and the headers of the console.
"""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from jinja2 import Environment
from starlette.responses import Response

from workers.console.pages import asset, asset_response, digest_of, environment_of, html

PREFIX: Final = "/dial"
SCRIPT: Final = "dial.js"


def page(
    template: str,
    context: Mapping[str, object],
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An HTML page."""
    shared = {
        "prefix": PREFIX,
        "person": None,
        "script_version": digest_of(read_asset(SCRIPT)),
        **context,
    }
    text = _environment().get_template(template).render(shared)
    return html(text, status=status, headers=headers)


def fault_page(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A page that says what is wrong."""
    context = {"title": HTTPStatus(status).phrase, "detail": detail}
    return page("fault.html", context, status=status, headers=headers)


def asset_of(name: str) -> Response | None:
    """The script of these pages, or the console's style sheet or picture; None for any other."""
    if name == SCRIPT:
        return asset_response(read_asset(SCRIPT), "text/javascript")
    return asset(name)


@cache
def read_asset(name: str) -> bytes:
    """A file of this package."""
    return (files("workers.dial") / "assets" / name).read_bytes()


@cache
def _environment() -> Environment:
    return environment_of("workers.dial", PREFIX)
