"""What can go wrong on our own side, as one tree; the network's half is `sidecar.atproto.errors`.

Owns: names and stable codes. Refusals by a rule aren't errors but values (`policy.Decision`).
Doesn't belong here: what a person reads (replies/words.py).

    SidecarError
    ├── ConfigError         every fault of a configuration, at once
    ├── UntrustedPeer       the connection comes from an address that isn't in server.trusted_peers
    ├── StoreUnavailable    transient: the store doesn't answer
    ├── StoreFull           the bound of a table is reached
    ├── TooManyRequests     a limit; `retry_after` in seconds
    │   └── Busy            of all visitors together
    ├── BadRequest          a form or query we can't read
    ├── RequestTooLarge     a body or header over the limit
    ├── RequestTooSlow      a form that didn't arrive in time
    ├── CrossSiteRequest    a POST that another site sent
    ├── SignInExpired       `state` unknown, expired or used already
    ├── OtherBrowser        the callback came to a browser that didn't start the sign-in
    ├── CookiesOff          the browser keeps no cookies
    ├── DuplicateCookies    two session cookies in one request
    └── LoopDetected        sent back and forth without arriving
"""

from typing import ClassVar


class SidecarError(Exception):
    """Root of the tree. `code` is stable; `transient` says whether to try again later."""

    code: ClassVar[str] = "sidecar_error"
    transient: ClassVar[bool] = False


class ConfigError(SidecarError):
    """`faults`: one line each, as `path: what is wrong; how to fix it`."""

    code = "config_error"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UntrustedPeer(SidecarError):
    code = "untrusted_peer"


class StoreUnavailable(SidecarError):
    code = "store_unavailable"
    transient = True


class StoreFull(SidecarError):
    code = "store_full"
    transient = True


class TooManyRequests(SidecarError):
    code = "too_many_requests"
    transient = True

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(TooManyRequests):
    code = "busy"


class BadRequest(SidecarError):
    code = "bad_request"


class RequestTooLarge(SidecarError):
    code = "request_too_large"


class RequestTooSlow(SidecarError):
    code = "request_too_slow"


class CrossSiteRequest(SidecarError):
    code = "cross_site_request"


class SignInExpired(SidecarError):
    code = "sign_in_expired"


class OtherBrowser(SidecarError):
    code = "other_browser"


class CookiesOff(SidecarError):
    code = "cookies_off"


class DuplicateCookies(SidecarError):
    code = "duplicate_cookies"


class LoopDetected(SidecarError):
    code = "loop_detected"
