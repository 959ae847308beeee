"""
The proxies of deploy/, on this machine: their own files, with other ports and without TLS.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from service.clock import utc_now
from service.sources import WebhookRequest
from tests.sources.cases import CONTRACTS, fixture

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
# What Debian's packages have around the file of a site.
NGINX: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    include {folder}/site.conf;
}}
"""
NGINX_RECEIVERS: Final = re.compile(r"(?:^ +(?:# )?server 127\.0\.0\.1:80\d\d .*\n)+", re.MULTILINE)

Words = tuple[str, ...]
# What proxies like to tidy up: encoded and doubled slashes, spaces, order, empty and double names.
ODD_QUERIES: Final = (
    "",
    "?b=1&a=%2F..%2f&a=2&c=x+y%20z&d&e=&&%C3%A9=%7e~*'()&f=a//b/../c",
    "/?buildr_call_id=110;x=1&plus=%2B15005550006",
    "?url=https%3A%2F%2Fother.example.test%3A8443%2Fa%3Fb%3D1%26c%3D2&at=2026-11-02T10:00:00Z",
)


def nginx(folder: Path, port: int, receivers: Sequence[int]) -> Words:
    """Write its files for receivers on these ports; returns the command that starts it."""
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    # Over plain HTTP, and into this folder; all else is as it is.
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    site = re.sub(r" +(?:listen \[::\]|ssl_certificate).*\n", "", site)
    servers = "".join(f"    server 127.0.0.1:{number} max_fails=0;\n" for number in receivers)
    site, count = NGINX_RECEIVERS.subn(servers, site)
    if count != 1:
        raise ValueError("deploy/nginx.conf names its receivers in another way")
    site = site.replace("/var/log/nginx", str(folder))
    return _write_nginx(folder, site)


def _write_nginx(folder: Path, site: str) -> Words:
    (folder / "site.conf").write_text(site, encoding="utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder), encoding="utf-8")
    return ("nginx", "-p", str(folder), "-e", "error.log", "-c", str(folder / "nginx.conf"))


def nginx_with_tls(folder: Path, port: int, certificate: Path, key: Path) -> Words:
    """Write its files with TLS as in deploy/; returns the command that starts it."""
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    site = re.sub(r"listen (\[::\]:)?443 ssl;", rf"listen \g<1>{port} ssl;", site)
    site = re.sub(r"ssl_certificate .*;", f"ssl_certificate {certificate};", site)
    site = re.sub(r"ssl_certificate_key .*;", f"ssl_certificate_key {key};", site)
    site = site.replace("/var/log/nginx", str(folder))
    return _write_nginx(folder, site)


def caddy(folder: Path, port: int, receivers: Sequence[int]) -> Words:
    """Write its file for receivers on these ports; returns the command that starts it."""
    site = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    address = "{$SITE_ADDRESS:calls.example.com} {"
    site = site.replace(address, f"http://:{port} {{\n\tbind 127.0.0.1")
    site = site.replace("{\n\tservers", f"{{\n\tadmin unix/{folder}/admin.sock\n\tservers", 1)
    addresses = " ".join(f"127.0.0.1:{number}" for number in receivers)
    line = "\treverse_proxy {$RECEIVERS:127.0.0.1:8000} {"
    if line not in site or address in site:
        raise ValueError("deploy/Caddyfile names its receiver in another way")
    site = site.replace(line, f"\treverse_proxy {addresses} {{")
    (folder / "Caddyfile").write_text(site, encoding="utf-8")
    return ("caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")


def caddy_reload(folder: Path) -> Words:
    """The command by which a Caddy that runs reads its file again."""
    address = f"unix/{folder}/admin.sock"
    config = ("--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")
    return ("caddy", "reload", *config, "--address", address)


PROXIES: Final[Mapping[str, Callable[[Path, int, Sequence[int]], Words]]] = {
    "nginx": nginx,
    "caddy": caddy,
}


def odd_paths(slug: str) -> list[str]:
    """Addresses of a source's webhook that a proxy must leave as they are."""
    return [f"/webhooks/{slug}{query}" for query in ODD_QUERIES]


def signed_request(slug: str, public_url: str, path: str) -> WebhookRequest:
    """A message of a source that ends a call, signed by its vendor's rules for an address."""
    contract = CONTRACTS[slug]
    unsigned = fixture(slug, contract.smallest)
    # Some have the time of their event in a header that is signed.
    headers = {
        name: value for name, value in unsigned.headers.items() if name not in contract.proofs
    }
    request = replace(unsigned, url=public_url + path, headers=headers)
    # JustCall signs the address that it names in the body.
    if b'"webhook_url"' in request.body:
        fields = {**json.loads(request.body), "webhook_url": request.url}
        request = replace(request, body=json.dumps(fields).encode(), _parsed={})
    return contract.sign(request, contract.secrets[0], utc_now())


def as_sent(request: WebhookRequest) -> bytes:
    """A request as it goes over the network, on a connection of its own."""
    _, _, rest = request.url.partition("://")
    host, slash, path = rest.partition("/")
    lines = [
        f"{request.method} {slash}{path} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        f"Content-Length: {len(request.body)}",
        *(f"{name}: {value}" for name, values in request.headers.items() for value in values),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.body


def is_installed(name: str) -> bool:
    """Whether a proxy is on this machine."""
    return shutil.which(name) is not None
