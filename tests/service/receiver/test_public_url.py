"""
The public URL of a request: what vendors sign, behind whatever proxies.
"""

import pytest

from service.receiver.public_url import PublicUrlResolver
from service.receiver.requests import read_headers
from service.settings import Settings

BEHIND_PROXY = PublicUrlResolver.of(Settings(trusted_proxies=("10.0.0.9",)))


def _scope(**changes: object) -> dict[str, object]:
    scope: dict[str, object] = {
        "scheme": "http",
        "raw_path": b"/webhooks/twilio",
        "query_string": b"",
        "client": ("10.0.0.9", 4711),
        "headers": [(b"Host", b"inner.example.test:8000")],
    }
    return scope | changes


def _url(public_urls: PublicUrlResolver, scope: dict[str, object]) -> str:
    return public_urls.url(scope, read_headers(scope))


def test_public_url_is_the_set_base_and_the_raw_path_and_query() -> None:
    """Path and query follow the base byte for byte, whatever is percent-encoded in them."""
    scope = _scope(raw_path=b"/webhooks/tw%69lio", query_string=b"a=%7e&b=%C3%a9+x&&c")
    expected = "https://hooks.example.test/calls/webhooks/tw%69lio?a=%7e&b=%C3%a9+x&&c"
    assert expected == _url(PublicUrlResolver("https://hooks.example.test/calls"), scope)


def test_set_base_wins_over_every_header() -> None:
    """Nobody can move the public URL once it is set."""
    headers = [
        (b"host", b"evil.example.test"),
        (b"x-forwarded-host", b"evil.example.test"),
        (b"x-forwarded-proto", b"http"),
    ]
    public_urls = PublicUrlResolver(
        "https://hooks.example.test",
        PublicUrlResolver.of(Settings(trusted_proxies=("10.0.0.0/8",))).trusted,
    )
    assert "https://hooks.example.test/webhooks/twilio" == _url(
        public_urls, _scope(headers=headers)
    )


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("10.0.0.9", 1), "https://outer.example.test"),
        (("::ffff:10.0.0.9", 1), "https://outer.example.test"),
        (("fd00::1", 1), "https://outer.example.test"),
        (("192.0.2.1", 1), "http://inner.example.test:8000"),
        (("testclient", 1), "http://inner.example.test:8000"),
        (None, "http://inner.example.test:8000"),
    ],
)
def test_forwarded_headers_count_from_listed_proxies_only(client: object, expected: str) -> None:
    """A peer that is no listed proxy cannot say how it was reached."""
    settings = Settings(trusted_proxies=("10.0.0.0/8", "fd00::/8"))
    headers = [
        (b"host", b"inner.example.test:8000"),
        (b"x-forwarded-proto", b"http, https"),
        (b"x-forwarded-host", b"forged.example.test, outer.example.test"),
    ]
    assert f"{expected}/webhooks/twilio" == _url(
        PublicUrlResolver.of(settings), _scope(client=client, headers=headers)
    )


def test_odd_forwarded_scheme_is_not_believed() -> None:
    """Only http and https can be the scheme of a webhook."""
    headers = [(b"host", b"h.example.test"), (b"x-forwarded-proto", b"gopher")]
    public_urls = PublicUrlResolver.of(Settings(trusted_proxies=("10.0.0.9",)))
    assert "http://h.example.test/webhooks/twilio" == _url(public_urls, _scope(headers=headers))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"forwarded": "for=192.0.2.1;proto=https;host=outer.example.test"}, "outer.example.test"),
        ({"forwarded": 'proto=https; host="outer.example.test:8443"'}, "outer.example.test:8443"),
        (
            {"forwarded": 'host=forged.test, for="[::1]";Host=outer.example.test;Proto=https'},
            "outer.example.test",
        ),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "8443"}, "inner.example.test:8443"),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "443"}, "inner.example.test"),
        (
            {
                "x-forwarded-proto": "https",
                "x-forwarded-host": "outer.example.test:9443",
                "x-forwarded-port": "443",
            },
            "outer.example.test:9443",
        ),
        (
            {"x-forwarded-proto": "https", "x-forwarded-prefix": "/tel/calls/"},
            "inner.example.test/tel/calls",
        ),
        ({"x-forwarded-proto": "https", "x-forwarded-prefix": "//evil"}, "inner.example.test"),
        ({"x-forwarded-proto": "https", "forwarded": "host=forged.test"}, "inner.example.test"),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "x"}, "inner.example.test"),
        ({"x-forwarded-proto": "https", "forwarded": 'host="'}, "inner.example.test"),
    ],
)
def test_every_form_in_which_a_proxy_tells_how_it_was_called(
    headers: dict[str, str], expected: str
) -> None:
    """Scheme, host, port and path prefix come from the nearest proxy, in either form."""
    pairs = [(b"host", b"inner.example.test")]
    pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    assert f"https://{expected}/webhooks/twilio" == _url(BEHIND_PROXY, _scope(headers=pairs))


def test_new_form_of_a_stranger_is_not_believed() -> None:
    """`Forwarded` counts from listed proxies only."""
    headers = [
        (b"host", b"h.example.test"),
        (b"forwarded", b"proto=https;host=forged.test"),
    ]
    scope = _scope(client=("192.0.2.1", 1), headers=headers)
    assert "http://h.example.test/webhooks/twilio" == _url(BEHIND_PROXY, scope)
