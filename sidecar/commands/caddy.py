"""Which Caddy is safe in front of the sidecar, and which holes an older one has.

Owns: the one version that the commands, the docs and the Caddyfile name; tests hold them to it.
Doesn't belong here: finding out which Caddy is installed (doctor/probes.py).
"""

Version = tuple[int, ...]

NEEDED: Version = (2, 11, 6)

# Up to which version the hole is open, and what it lets a stranger do.
_HOLES: tuple[tuple[Version, str], ...] = (
    (
        (2, 11, 2),
        "GHSA-7r4p-vjf4-gxv4: a client can add an identity header that the check's answer leaves out",
    ),
    (
        (2, 11, 5),
        "GHSA-6365-7ppr-5r92: under load, strangers pass the check, and the app gets session cookies",
    ),
    (
        NEEDED,
        'a client can write an identity header with "_" for "-", and some apps read it as the real one',
    ),
)


def shown(version: Version) -> str:
    """As people write it: 2.11.6."""
    return ".".join(map(str, version))


def holes(version: Version) -> list[str]:
    """What is unsafe about this version; nothing from NEEDED on."""
    return [f"below {shown(closed)}: {text}" for closed, text in _HOLES if version < closed]
