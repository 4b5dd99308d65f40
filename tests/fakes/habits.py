"""What authorization servers in use do beside the OAuth profile, each to be switched on by a test.

Every one was seen in a real server's build, or read in its source and reproduced. Unless switched on, the
server does as the profile says. Faults of nonces are in proofs.py.
"""

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Habits:
    """Of one server.

    `takes_proofs_from_the_future`: seconds by which the `iat` of a proof may be ahead; one server takes none.
    `burns_codes_first`: the code is gone before the proof is looked at.
    `keeps_documents`: a client's metadata is fetched once and never again; its `jwks_uri` every time.
    `errors_without_iss`: a refusal in the browser doesn't say whose it is.
    `errors`: refusals as OAuth has them, as XRPC does, or with a sentence where the code belongs.
    `statuses`: of successes, by endpoint. `media_type`: of every answer.
    `byte_order_mark`: before every document and answer. `size`: in bytes, at least, of every document.
    """

    takes_proofs_from_the_future: float | None = None
    burns_codes_first: bool = False
    keeps_documents: bool = False
    errors_without_iss: bool = False
    errors: Literal["oauth", "xrpc", "sentence"] = "oauth"
    statuses: dict[str, int] = field(default_factory=dict)
    media_type: str = "application/json"
    byte_order_mark: bool = False
    size: int = 0

    def refusal(self, error: str, description: str) -> dict[str, str]:
        """The body of an answer that says no."""
        if self.errors == "xrpc":
            return {"error": error, "message": description}
        if self.errors == "sentence":
            return {"error": f"{error}: {description}"}
        return {"error": error, "error_description": description}

    def document(self, members: Mapping[str, Any]) -> bytes:
        """A well-known document as served; a member of None is left out."""
        kept = {name: value for name, value in members.items() if value is not None}
        surplus = self.size - len(json.dumps(kept))
        return self.body(kept | {"x_padding": "x" * surplus} if surplus > 0 else kept)

    def body(self, members: Mapping[str, Any]) -> bytes:
        mark = codecs.BOM_UTF8 if self.byte_order_mark else b""
        return mark + json.dumps(members).encode()
