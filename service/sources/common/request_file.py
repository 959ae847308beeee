"""
A request written down in a file: what `explain` and `trigger` read, and what the fixtures are.

The form is `{"method", "path", "query", "headers"}` and one of `body_form`, `body_json`, `body`;
other names are ignored.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlencode

from service.errors import MalformedPayload
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.request import FORM, JSON, WebhookRequest

BODIES: Final[Mapping[str, str | None]] = {"body_form": FORM, "body_json": JSON, "body": None}


def read_request(text: str | bytes, *, base_url: str, default_path: str = "/") -> WebhookRequest:
    """
    Read a request file; `base_url` is the public URL, without a slash at its end.

    Raises `MalformedPayload` that says which part is wrong.
    """
    try:
        raw = text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError as err:
        raise MalformedPayload("a request file must be text in UTF-8") from err
    return build_request(read_json_object(raw), base_url=base_url, default_path=default_path)


def build_request(
    parts: Mapping[str, JsonValue], *, base_url: str, default_path: str = "/"
) -> WebhookRequest:
    """Make a request of what a request file holds; raises `MalformedPayload`."""
    kinds = [name for name in BODIES if parts.get(name) is not None]
    if len(kinds) > 1:
        raise MalformedPayload(f"a request has one body, not {' and '.join(kinds)}")
    kind = kinds[0] if kinds else "body"
    headers = _headers(parts.get("headers"))
    content_type = BODIES[kind]
    if content_type is not None:
        headers.setdefault("content-type", (content_type,))
    path = _text(parts, "path", default_path)
    if (
        not path.startswith("/")
        or not path.isascii()
        or not path.isprintable()
        or " " in path
        or "#" in path
    ):
        raise MalformedPayload(
            "path must start with / and be written as in a URL, without host, blanks and #"
        )
    query = _pairs("query", parts.get("query"))
    mark = "&" if "?" in path else "?"
    return WebhookRequest(
        method=_text(parts, "method", "POST").upper(),
        url=base_url.rstrip("/") + path + (mark + urlencode(query) if query else ""),
        headers=headers,
        body=_body(kind, parts.get(kind)),
    )


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
    return [(key, text) for key, each in value.items() for text in _values(f"{name}.{key}", each)]


def _values(name: str, value: JsonValue) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise MalformedPayload(f"{name} must be a text, a number, or a list of them")
        yield str(each)


def _body(kind: str, value: JsonValue) -> bytes:
    if value is None:
        return b""
    if kind == "body_form":
        return urlencode(_pairs(kind, value)).encode()
    if kind == "body_json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(value, str):
        raise MalformedPayload(
            "body must be a text; JSON goes into body_json, a form into body_form"
        )
    return value.encode()
