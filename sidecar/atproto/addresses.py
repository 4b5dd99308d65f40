"""Which network addresses a stranger may make us connect to.

Owns: the judgement of one address. Pure: no I/O.
Doesn't belong here: names, or what is done about an address that is refused (transport.py).

Behind it: IANA's registries of special-purpose addresses (RFC 6890) and of IPv6 global unicast. `ipaddress`
knows them too, but not the same in every release of Python: what it has ever missed is listed here.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "168.63.129.16/32",  # Azure's platform services, as machines inside reach them
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))


def is_public(address: Address) -> bool:
    """Whether it is globally routable unicast; an IPv4 address inside an IPv6 one is judged in its place."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in net for net in _REFUSED)


def is_loopback(address: Address) -> bool:
    """Whether it is plainly loopback: no mapped forms, which some Pythons count and some don't."""
    return any(address in network for network in _LOOPBACK)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address at which packets to this one arrive: v4-mapped, NAT64, 6to4."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
