"""How the fakes say no."""


class Refused(Exception):
    """An OAuth error response: `error` as in RFC 6749 and its relatives, with an HTTP status."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


def require(condition: object, error: str, description: str, status: int = 400) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(error, description, status)
