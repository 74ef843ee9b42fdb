"""`python -m ad40` is the command `ad40`."""

import sys

from ad40.cli import main

sys.exit(main())
