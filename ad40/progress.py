"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextvars import ContextVar
from types import TracebackType

silenced: ContextVar[bool] = ContextVar("silenced", default=False)  # true where many run side by side


class Progress:
    """Count work done against a total, on standard error.

    A terminal gets one line that redraws itself. A log gets a line at the start of the work, one per ten
    percent (at most every ten seconds, at least every minute), and one at the end with the throughput.
    """

    def __init__(self, total: int, label: str, unit: str = "events") -> None:
        self.total, self.label, self.unit = max(int(total), 0), label, unit
        self.done = 0
        self._start = self._last_time = time.monotonic()
        self._last_done = 0
        self._terminal = sys.stderr.isatty()
        self._silent = silenced.get()

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._silent:
            return
        if self._terminal:
            self._draw()
            print(file=sys.stderr)
        if kind is None:
            seconds = max(time.monotonic() - self._start, 1e-9)
            rate = self.done / seconds
            speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
            text = f"{self.label}: {self.done:,} {self.unit} in {seconds:.1f} s, {speed} {self.unit}/s"
            print(text, file=sys.stderr, flush=True)

    def update(self, n: int = 1) -> None:
        """Add `n` finished units and redraw when it is time."""
        self.done += n
        now = time.monotonic()
        if self._terminal:
            due = now - self._last_time > 0.1
        else:
            quiet = now - self._last_time
            due = quiet > 60 or (quiet > 10 and self.done - self._last_done >= self.total / 10)
        if due:
            self._draw()
            self._last_time, self._last_done = now, self.done

    def line(self, text: str) -> None:
        """Print a line on standard output, above the bar of a terminal."""
        if self._terminal and not self._silent:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
        print(text, flush=True)
        if self._terminal:
            self._draw()

    def _draw(self) -> None:
        if self._silent:
            return
        seconds = max(time.monotonic() - self._start, 1e-9)
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        rate = self.done / seconds
        remaining = f", {(self.total - self.done) / rate:.0f} s left" if 0 < self.done < self.total else ""
        text = f"{self.label}: {self.done:,}/{self.total:,} {self.unit} ({share:.0%}){remaining}"
        if self._terminal:
            filled = int(30 * share)
            print(f"\r\x1b[2K[{'#' * filled}{'.' * (30 - filled)}] {text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
