"""How one value of the configuration is parsed.

Owns: one function per kind of value, `TOML value or text in → typed value out`, or ValueError whose text says what
is wrong and how to mend it. The environment gives text only, so every parser reads text as well as TOML's types.
Doesn't belong here: what one value means for another (config.py).
"""

import ipaddress
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


class Provider(NamedTuple):
    """A button on the sign-in page that starts at a server instead of an account."""

    name: str
    url: str
