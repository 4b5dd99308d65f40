"""The request that Caddy really sends for a check, down to its size.

Taken from Caddy 2.11.7 running Caddyfile.example (tests/e2e/test_bench_request.py holds it to that): 12
headers, 855 bytes with a session cookie beside two others."""

from collections.abc import Iterable
from dataclasses import dataclass

SIZE = 855  # bytes, with a session cookie
HEADER_COUNT = 12

_HOST = "Host"
_BROWSER = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.5"),
)
_THEME = "theme=dark"
URI = "/notes/2026/november?page=2"


@dataclass(frozen=True, slots=True)
class Request:
    """Without a body: its path, and its headers in the order sent, the host's apart."""

    path: str
    host: str
    headers: tuple[tuple[str, str], ...]
    method: str = "GET"

    def raw(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"{_HOST}: {self.host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def check(
    host: str, session_cookie: str = "", *, path: str = "/auth/check", scheme: str = "https"
) -> Request:
    """Caddy's check for a page of `host`. `session_cookie`: as `name=value`; the third cookie fills up to
    SIZE."""
    if not session_cookie:
        return _check(host, f"{_THEME}; visitor={'v' * 60}", path, scheme)
    cookies = f"{_THEME}; {session_cookie}; visitor="
    missing = SIZE - len(_check(host, cookies, path, scheme).raw())
    return _check(host, cookies + "v" * max(1, missing), path, scheme)


def plain(
    host: str, headers: Iterable[tuple[str, str]] = (), *, path: str = "/", method: str = "GET"
) -> Request:
    """A browser's own request."""
    return Request(path, host, (*_BROWSER, *headers), method)


def _check(host: str, cookies: str, path: str, scheme: str) -> Request:
    forwarded = (
        ("X-Forwarded-For", "203.0.113.20"),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Uri", URI),
    )
    return Request(path, host, (*_BROWSER, ("Cookie", cookies), ("Via", "1.1 Caddy"), *forwarded))
