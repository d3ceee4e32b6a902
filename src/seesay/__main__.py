"""`python -m seesay`: the same as the `seesay` command."""

import sys

from seesay.cli import main

if __name__ == "__main__":
    sys.exit(main())
