"""Which network addresses a stranger may make us connect to.

Owns: the judgement of one address. Pure: no I/O.
Doesn't belong here: names, or what is done about an address that is refused (transport.py).

The registries behind it: IANA IPv4 and IPv6 special-purpose addresses (RFC 6890), IPv6 global unicast. `ipaddress`
knows most of the first, differently from release to release, so what matters is listed here as well.
"""

import ipaddress

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address

_REFUSED_V4 = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; older Pythons miss most of it
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's platform services, as reached from inside
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = (
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    ipaddress.IPv6Network("2001:db8::/32"),  # documentation
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def is_public(address: IPv4 | IPv6) -> bool:
    """Whether it is globally routable unicast; an IPv4 address inside an IPv6 one is judged itself."""
    if isinstance(address, IPv6):
        inner = _embedded(address)
        if inner is None:
            return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)
        address = inner
    refused = address.is_multicast or any(address in network for network in _REFUSED_V4)
    return address.is_global and not refused


def is_loopback(address: IPv4 | IPv6) -> bool:
    return address.is_loopback


def _embedded(address: IPv6) -> IPv4 | None:
    """The IPv4 address that packets to this one end up at: v4-mapped, NAT64, 6to4."""
    if address in _NAT64:
        return IPv4(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
