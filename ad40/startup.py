"""What the start of a library may print: the same for every room that starts one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_startup_lines() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: TensorFlow's C++ prints remarks about missing GPUs that no flag stops.

    Python exceptions are not affected.
    """
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
