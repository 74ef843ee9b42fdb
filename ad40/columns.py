"""Text files of columns, plain or gzip: every row checked, the first fault refused with its line number."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError
from ad40.files import atomic_path

_GZIP = b"\x1f\x8b"
_SHOWN = 60  # characters of a faulty value that a message repeats


class Column(NamedTuple):
    """A column: its name, the regular expression of a whole token, and the same in words."""

    name: str
    form: str
    expected: str


class Text:
    """The lines of a file. `line` counts from 1, as editors do."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(path, "file", error.strerror or str(error), "a readable file") from error
        if data.startswith(_GZIP):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(path, "gzip data", f"unreadable ({error})", "a complete gzip file") from error
        self.newline = "\r\n" if data.endswith(b"\r\n") else "\n"
        self.lines = [line.strip(b" \t\r") for line in data.split(b"\n")]
        self._next = 0

    def next(self, expected: str) -> tuple[int, bytes]:
        """The next line that is not blank and its number; `InputError` at the end of the file."""
        while self._next < len(self.lines):
            self._next += 1
            if self.lines[self._next - 1]:
                return self._next, self.lines[self._next - 1]
        raise self.fault(len(self.lines), "text", "the end of the file", expected)

    def peek(self, expected: str) -> bytes:
        """The next line that is not blank, which `next` will return too."""
        here = self._next
        line = self.next(expected)[1]
        self._next = here
        return line

    def rows(self, columns: Sequence[Column]) -> tuple[list[int], list[list[bytes]]]:
        """All further lines that are not blank, as line numbers and tokens; each must have these columns."""
        form = re.compile(b"[ \t]+".join(column.form.encode() for column in columns))
        numbers = [i + 1 for i in range(self._next, len(self.lines)) if self.lines[i]]
        for i in numbers:
            if not form.fullmatch(self.lines[i - 1]):
                raise self._row_fault(i, columns)
        self._next = len(self.lines)
        return numbers, [self.lines[i - 1].split() for i in numbers]

    def _row_fault(self, line: int, columns: Sequence[Column]) -> InputError:
        tokens = re.split(b"[ \t]+", self.lines[line - 1])
        for column, token in zip(columns, tokens, strict=False):
            if not re.fullmatch(column.form.encode(), token):
                return self.fault(line, column.name, token, column.expected)
        return self.fault(line, "columns", len(tokens), str(len(columns)))

    def fault(self, line: int, field: str, value: object, expected: str) -> InputError:
        """The error for something found in a line."""
        if isinstance(value, bytes):
            text = value.decode("ascii", "backslashreplace")
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
            value = f"'{text[:_SHOWN]}...'" if len(text) > _SHOWN else f"'{text}'"
        return InputError(self.path, f"line {line}, {field}", value, expected)


def hex_values(tokens: Sequence[bytes], kind: str) -> NDArray[Any]:
    """Big-endian values of dtype `kind` from hexadecimal digits, checked before."""
    return np.frombuffer(bytes.fromhex(b"".join(tokens).decode()), np.dtype(kind))


def hex_digits(values: NDArray[np.unsignedinteger], digits: int) -> NDArray[np.uint8]:
    """Hexadecimal digits of values below 2^64, as characters uint8 (*shape, digits)."""
    text = values.astype(">u8").tobytes().hex().encode()
    return np.frombuffer(text, np.uint8).reshape(*values.shape, 16)[..., -digits:]


def write_text(path: str | Path, text: bytes) -> None:
    """Write, whole or not at all; gzip where the name ends in .gz, without a time so that equal texts make equal
    files."""
    data = gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
