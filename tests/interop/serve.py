"""`sidecar …` as in tests/lab/serve.py. Here home.arpa (RFC 8375), which is nobody's, counts as private, too.

Older releases want a client_id whose top-level domain is on the public suffix list; `.internal` is not. The
sidecar allows servers on loopback only if its own name is under a reserved top-level domain.
"""

import sys

from sidecar.config_file import consistency
from tests.lab import serve

if __name__ == "__main__":
    consistency._RESERVED_TLDS |= {"arpa"}
    sys.exit(serve.main())
