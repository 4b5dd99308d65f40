"""`python -m sidecar` is the `sidecar` command."""

import sys

from sidecar.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
