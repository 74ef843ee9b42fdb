"""`python -m ad40` is the command `ad40`."""

import sys

from ad40.cli import main

if __name__ == "__main__":  # worker processes of a cluster import this module under another name
    sys.exit(main())
