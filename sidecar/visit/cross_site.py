"""Refuses forms that another site sent, without tokens: browsers say where a request comes from.

Owns: `refuse_cross_site`. A sibling subdomain is another site here: it may be somebody else's.
"""

from collections.abc import Iterable

from sidecar.errors import CrossSiteRequest


def refuse_cross_site(headers: Iterable[tuple[bytes, bytes]], public_url: str) -> None:
    """Raise CrossSiteRequest unless `Sec-Fetch-Site` is same-origin or, if the browser sends none,
    `Origin` is ours.

    Browsers without Fetch Metadata still send Origin with every POST. A request with neither isn't a
    browser's form.
    """
    pairs = list(headers)
    sites = [value for name, value in pairs if name == b"sec-fetch-site"]
    origins = [value for name, value in pairs if name == b"origin"]
    trusted = sites == [b"same-origin"] if sites else origins == [public_url.encode()]
    if not trusted:
        raise CrossSiteRequest(f"sec-fetch-site {_shown(sites)}, origin {_shown(origins)}")


def _shown(values: list[bytes]) -> str:
    return ", ".join(value[:100].decode("latin-1") for value in values[:3]) or "missing"
