"""The TXT records of a name, as DNS has them.

Owns: how dnspython is asked. handles.py imports this when it has the first name to ask for: 3 MB that a
worker without sign-ins doesn't need.
Doesn't belong here: which name, what its texts mean (handles.py).
"""

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdtypes.ANY.TXT
import dns.resolver

from ..errors import ServerUnreachable


async def texts(name: str, nameservers: Sequence[tuple[str, int]], *, lifetime: float) -> list[bytes]:
    """One text for each record, its strings joined; [] if the name has none, or doesn't exist.

    `nameservers`: addresses and ports; none: the system's. `lifetime`: seconds. Raises ServerUnreachable.
    """
    try:
        resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*each) for each in nameservers]
        answer = await resolver.resolve(f"{name}.", "TXT", lifetime=lifetime, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return []
    except (dns.exception.DNSException, OSError) as exc:
        raise ServerUnreachable(f"DNS failed for {name}: {type(exc).__name__}") from exc
    return [b"".join(txt.strings) for txt in answer if isinstance(txt, dns.rdtypes.ANY.TXT.TXT)]
