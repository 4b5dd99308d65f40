"""Why a server gave no answer: what kind of failure it was, its likeliest cause, and what to do.

Owns: telling the kinds apart, so that a fault of DNS is never reported as one of TLS.
Doesn't belong here: asking (probes.py), what an answer means (the checks).
"""

import socket
import ssl
from enum import Enum

from sidecar.commands.doctor.findings import Remedy


class Kind(Enum):
    """What went wrong, in the order in which a request gets there."""

    NO_ADDRESS = "no address"
    DNS_DOWN = "dns down"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_ROUTE = "no route"
    NO_TRUST_STORE = "no trust store"
    UNTRUSTED = "untrusted"
    WRONG_NAME = "wrong name"
    EXPIRED = "expired"
    NO_CERTIFICATE = "no certificate"
    NO_TLS = "no tls"
    BROKEN = "broken"


CERTIFICATE = frozenset((Kind.NO_TRUST_STORE, Kind.UNTRUSTED, Kind.WRONG_NAME, Kind.EXPIRED))
"""The server is there and speaks TLS; only its certificate isn't accepted."""

_SEE_ADDRESS = "if the address in the configuration is right, that server is down: try again later"

# For each kind: the remedy for a site of our own, then for someone else's, unless it is the same.
_REMEDIES: dict[Kind, tuple[Remedy, Remedy | None]] = {
    Kind.NO_ADDRESS: (
        Remedy(
            "the name has no A or AAAA record in DNS", "add one, or correct the name in the configuration"
        ),
        Remedy("the name in the configuration is wrong, or its DNS record is gone", "correct the name"),
    ),
    Kind.DNS_DOWN: (
        Remedy("the DNS servers of this machine don't answer", "see /etc/resolv.conf, and the network"),
        None,
    ),
    Kind.REFUSED: (
        Remedy(
            "nothing listens on that port there: Caddy isn't running, or on another machine", "start Caddy"
        ),
        Remedy("nothing listens on that port there", _SEE_ADDRESS),
    ),
    Kind.TIMEOUT: (
        Remedy(
            "a firewall drops the connection, or the router keeps this machine from its own public address",
            "open the port in the firewall; from another network, see that the address opens",
        ),
        Remedy(
            "a firewall stops this machine from connecting, or that server hangs", "open outgoing port 443"
        ),
    ),
    Kind.NO_ROUTE: (
        Remedy(
            "this machine has no way to that address (IPv6 without an IPv6 network, for instance)",
            "correct the DNS record or the network",
        ),
        None,
    ),
    Kind.NO_TRUST_STORE: (
        Remedy("this system has no trust store, so no certificate can be checked", "install ca-certificates"),
        None,
    ),
    Kind.UNTRUSTED: (
        Remedy(
            "Caddy made the certificate itself (`tls internal`, or a name that no public authority knows), "
            "and this system's trust store doesn't have its authority; authorization servers won't, either",
            "let Caddy get a certificate from a public authority: Caddy's log says what stops it",
        ),
        Remedy(
            "something between this machine and that server replaces the certificate, or the server's is bad",
            "add the authority to this system's trust store if you know it; the sidecar uses the same one",
        ),
    ),
    Kind.WRONG_NAME: (
        Remedy(
            "another program than your Caddy answers there, or Caddy has no site for this name",
            "see that DNS leads to the machine with Caddy, and that the Caddyfile has a site for this name",
        ),
        Remedy("the address in the configuration leads to another server", "correct the address"),
    ),
    Kind.EXPIRED: (
        Remedy(
            "Caddy couldn't renew its certificate, or this machine's clock is wrong",
            "see Caddy's log, and the clock: timedatectl",
        ),
        Remedy(
            "this machine's clock is wrong, or that server's certificate wasn't renewed", "see: timedatectl"
        ),
    ),
    Kind.NO_CERTIFICATE: (
        Remedy(
            "Caddy has no certificate for this name: the Caddyfile has no site for it, or none was issued",
            "add the site, or see in Caddy's log why no certificate comes",
        ),
        Remedy("that server doesn't know this name", "correct the address in the configuration"),
    ),
    Kind.NO_TLS: (
        Remedy(
            "the port speaks plain HTTP: the site in the Caddyfile is written with http:// or with this port",
            "write the site as https:// or without a scheme",
        ),
        Remedy("the address speaks plain HTTP", "correct the scheme in the configuration"),
    ),
    Kind.BROKEN: (
        Remedy("another program than a web server answers there", "see what listens on that port"),
        Remedy("another program than a web server answers there", _SEE_ADDRESS),
    ),
}

_ALERTS = ("ALERT", "UNRECOGNIZED_NAME", "UNEXPECTED_EOF")
_WRONG_NAMES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_WRONG_TIMES = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


class NoAnswer(OSError):
    """There is no answer. Its text says what was seen."""

    def __init__(self, url: str, kind: Kind, seen: str) -> None:
        super().__init__(seen)
        self.url = url
        self.kind = kind

    def remedy(self, *, ours: bool) -> Remedy:
        """`ours`: whether it is a site of this deployment, behind its own Caddy."""
        for_ours, for_theirs = _REMEDIES[self.kind]
        return for_ours if ours else for_theirs or for_ours


def of_lookup(url: str, host: str, error: OSError | UnicodeError) -> NoAnswer:
    """From what getaddrinfo raised."""
    reason = getattr(error, "strerror", None) or error
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return NoAnswer(url, Kind.DNS_DOWN, f"the DNS lookup of {host} got no answer ({reason})")
    return NoAnswer(url, Kind.NO_ADDRESS, f"DNS has no address for {host} ({reason})")


def of_request(url: str, error: Exception, *, trust_store: bool) -> NoAnswer:
    """From what httpx raised. `trust_store`: whether this system has one."""
    chain = _chain(error)
    for each in chain:
        if isinstance(each, ssl.SSLError):
            return _of_tls(url, each, trust_store=trust_store)
    for each in chain:
        if isinstance(each, ConnectionRefusedError):
            return NoAnswer(url, Kind.REFUSED, "the connection was refused")
        if isinstance(each, TimeoutError):
            return NoAnswer(url, Kind.TIMEOUT, "no answer in 10 seconds")
        if isinstance(each, OSError) and not isinstance(each, ConnectionError):
            return NoAnswer(url, Kind.NO_ROUTE, f"the connection failed ({each.strerror or each})")
    text = str(error) or type(error).__name__
    return NoAnswer(url, Kind.BROKEN, f"the connection ended without an HTTP answer ({text[:200]})")


def _of_tls(url: str, error: ssl.SSLError, *, trust_store: bool) -> NoAnswer:
    if isinstance(error, ssl.SSLCertVerificationError):
        seen = f"the certificate isn't accepted ({error.verify_message})"
        if not trust_store:
            return NoAnswer(url, Kind.NO_TRUST_STORE, seen)
        if error.verify_code in _WRONG_NAMES:
            return NoAnswer(url, Kind.WRONG_NAME, seen)
        kind = Kind.EXPIRED if error.verify_code in _WRONG_TIMES else Kind.UNTRUSTED
        return NoAnswer(url, kind, seen)
    reason = getattr(error, "reason", None) or str(error)
    if any(word in reason for word in _ALERTS):
        return NoAnswer(url, Kind.NO_CERTIFICATE, f"TLS was refused ({reason})")
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return NoAnswer(url, Kind.NO_TLS, f"the port doesn't speak TLS ({reason})")
    return NoAnswer(url, Kind.BROKEN, f"TLS failed ({reason})")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
