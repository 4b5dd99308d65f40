"""Who is behind a handle or a DID, and which server speaks for them.

document.py    what a DID document says
multikey.py    its signing key, in both spellings
handles.py     handle → DID, over DNS (txt.py) and HTTPS
directory.py   the two together, both ways, remembered for a while (cache.py)
standing.py    whether the account's server still stands by it
"""

from .directory import Directory, Identity
from .document import DidDocument, parse_did_document
from .handles import HandleResolver

__all__ = ["DidDocument", "Directory", "HandleResolver", "Identity", "parse_did_document"]
