"""A file of events, read block by block: what all readers share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from ad40.errors import InputError
from ad40.files import file_hash
from offline.objects.collection import Objects, check, checked_counts, ordered
from offline.objects.selection import Cuts, apply

SQRT_S = 13000.0
"""Centre-of-mass energy [GeV] of files that do not say."""


class Source:
    """An open file of events. Use as a context manager.

    n: events. kind: name of the reader. counts: slots of each type that `blocks` gives. sqrt_s: GeV. attributes: JSON
    document of where the events come from: file, sha256, kind, events, sqrt_s, cross_section_pb (None if the file does
    not say), and what the reader adds.
    """

    kind = ""

    def __init__(self, path: str | Path, counts: Mapping[str, int] | None = None) -> None:
        self.path = Path(path)
        self.counts = checked_counts(counts)
        self.n = 0
        self.sqrt_s = SQRT_S
        self.cross_section_pb: float | None = None
        self._more: dict[str, Any] = {}
        self._sha256 = ""
        self._open = ExitStack()  # files to close

    @property
    def attributes(self) -> dict[str, Any]:
        """See the class. The hash of the file is taken at the first call."""
        self._sha256 = self._sha256 or file_hash(self.path)
        return {
            "file": self.path.name,
            "sha256": self._sha256,
            "kind": self.kind,
            "events": self.n,
            "sqrt_s": self.sqrt_s,
            "cross_section_pb": self.cross_section_pb,
            **self._more,
        }

    def blocks(self, size: int = 65536, cuts: Cuts | None = None) -> Iterator[Objects]:
        """All events in order, at most `size` at a time, in bounded memory.

        Cuts are applied before lists are cut to `counts`, so that a forward jet takes no slot from a central one.

        Raises:
            InputError: an impossible value (file, event, object, value), unreadable rows, or another number of events
                than the file announced.
        """
        if size < 1:
            raise InputError(self.path, "size of a block", size, "at least 1")
        first = 0
        for block in self._read(size):
            found = ordered(check(block, str(self.path), first))
            first += len(found)
            yield (apply(found, cuts) if cuts is not None else found).resized(self.counts)
        if first != self.n:
            raise InputError(self.path, "events read", first, f"the {self.n} that the file announces")

    def _read(self, size: int) -> Iterator[Objects]:
        """Blocks as the file holds them, any order in pt, any number of slots."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def unreadable(path: Path, where: str, errors: tuple[type[BaseException], ...], expected: str) -> Iterator[None]:
    """Turn the errors of a library into an `InputError` that names the file and the place."""
    try:
        yield
    except InputError:
        raise
    except errors as error:
        text = str(error).strip().splitlines()
        raise InputError(path, where, f"unreadable ({text[0] if text else type(error).__name__})", expected) from error


def generated_cross_section(attributes: Mapping[str, Any]) -> float | None:
    """Cross-section [pb] after the filter of a sample of `ad40 generate`; None of a mix in other than its natural
    proportions, or of files from elsewhere."""
    processes = list(attributes.get("processes", {}).values())
    if "luminosity_pb" in attributes:  # a mix at one luminosity: `ad40 generate search`
        return float(sum(process["events"] for process in processes) / attributes["luminosity_pb"])
    if len(processes) != 1 or "filtered_cross_section_pb" not in processes[0]:
        return None
    return float(processes[0]["filtered_cross_section_pb"])
