"""What a `Target` tells the check, to be compared: it works most of it out when asked."""

from sidecar.request.forwarded import Target

_ALL = ("host", "uri", "cookies", "navigation", "page", "renewable", "websocket_origin")


def told(target: Target) -> dict[str, object]:
    return {name: getattr(target, name) for name in _ALL}
