"""
A request in a JSON file: `explain` and `trigger` read it, and the fixtures of the tests are such.

The file holds `method`, `path`, `query`, `headers` and one of `body_form`, `body_json`, `body`;
other names are ignored.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlencode

from service.errors import MalformedPayload
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.request import FORM, JSON, WebhookRequest

# Printable ASCII as in a URL: no host, no blanks, no fragment.
PATH: Final = re.compile(r"/[!\"$-~]*", re.ASCII)
BODIES: Final[Mapping[str, str | None]] = {"body_form": FORM, "body_json": JSON, "body": None}


def read_request(text: str | bytes, *, base_url: str, default_path: str = "/") -> WebhookRequest:
    """
    The request in a request file; `base_url` is the public URL, before `path`.

    Raises `MalformedPayload` that names the faulty part.
    """
    try:
        raw = text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError as err:
        raise MalformedPayload("a request file must be text in UTF-8") from err
    return build_request(read_json_object(raw), base_url=base_url, default_path=default_path)


def build_request(
    parts: Mapping[str, JsonValue], *, base_url: str, default_path: str = "/"
) -> WebhookRequest:
    """The request that the parts of a request file describe; raises `MalformedPayload`."""
    body_name = _body_name(parts)
    headers = _headers(parts.get("headers"))
    content_type = BODIES[body_name]
    if content_type is not None:
        headers.setdefault("content-type", (content_type,))
    path = _text(parts, "path", default_path)
    if not PATH.fullmatch(path):
        raise MalformedPayload(
            "path must start with / and be written as in a URL, without host, blanks and #"
        )
    return WebhookRequest(
        method=_text(parts, "method", "POST").upper(),
        url=_with_query(base_url.rstrip("/") + path, _pairs("query", parts.get("query"))),
        headers=headers,
        body=_body(body_name, parts.get(body_name)),
    )


def _body_name(parts: Mapping[str, JsonValue]) -> str:
    names = [name for name in BODIES if parts.get(name) is not None]
    if len(names) > 1:
        raise MalformedPayload(f"a request has one body, not {' and '.join(names)}")
    return next(iter(names), "body")


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    if not query:
        return url
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode(query)}"


def _text(parts: Mapping[str, JsonValue], name: str, default: str) -> str:
    value = parts.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise MalformedPayload(f"{name} must be a text")
    return value


def _headers(value: JsonValue) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for name, text in _pairs("headers", value):
        headers[name.lower()] = (*headers.get(name.lower(), ()), text)
    return headers


def _pairs(name: str, value: JsonValue) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise MalformedPayload(f'{name} must be an object, like {{"name": "value"}}')
    return [(key, text) for key, item in value.items() for text in _texts(f"{name}.{key}", item)]


def _texts(name: str, value: JsonValue) -> Iterator[str]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise MalformedPayload(f"{name} must be a text, a number, or a list of them")
        yield str(item)


def _body(name: str, value: JsonValue) -> bytes:
    if value is None:
        return b""
    if name == "body_form":
        return urlencode(_pairs(name, value)).encode()
    if name == "body_json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(value, str):
        raise MalformedPayload(
            "body must be a text; JSON goes into body_json, a form into body_form"
        )
    return value.encode()
