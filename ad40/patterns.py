"""Pattern files: what the links carry clock by clock, as test crates of the trigger groups load and capture it.

One form in memory, `Pattern`, and two texts for it:

* EMPv2, of the EMP framework: `ID: board`, the `Metadata:` line, `Link 000 001 ...`, then one line per clock,
  `Frame 0000` with flags and word of each link. Flags, left to right: strobe (only in some files), start of
  orbit, start of packet, end of packet, valid.
* APx: `#Sideband ON`, `#LinkLabel LINK_00 ...`, `#BeginData`, then one line per clock with sideband and word of
  each link. Sideband bits: 0 valid, 1 start of packet, 2 start of orbit, 3 end of packet, 4 error.

`read` takes these and the vectors of the global trigger (`ad40.ugt`), plain or gzip, and tells them by content.
`ad40.frames` turns patterns into events and back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import ugt
from ad40.columns import Column, Text, hex_digits, hex_values, write_text
from ad40.errors import InputError
from ad40.frames import FAULTS, Pattern, from_decisions, from_words, receive

__all__ = ["FAULTS", "FORMATS", "Pattern", "from_decisions", "from_words", "read", "read_any", "receive", "to_words",
           "write"]  # fmt: skip
FORMATS = ("emp", "apx", "ugt")
FLAGS = ("valid", "start_of_packet", "start_of_orbit", "end_of_packet", "error")  # in the order of the APx sideband
_EMP_FLAGS = ("start_of_orbit", "start_of_packet", "end_of_packet", "valid")
_EMP_METADATA = "start of orbit, start of packet, end of packet, valid"
_HEX64 = "[0-9A-Fa-f]{16}"


def read(path: str | Path) -> Pattern | ugt.Vectors:
    """Read a pattern file of any format. Raises `InputError` with the line of the first fault."""
    return read_any(path)[1]


def read_any(path: str | Path) -> tuple[str, Pattern | ugt.Vectors]:
    """As `read`, with the format of the file, one of FORMATS."""
    text = Text(path)
    expected = "'ID: ...' (EMPv2), '#Sideband ON' (APx) or a BX and its words (vectors of the global trigger)"
    first = text.peek(expected)
    if first.startswith(b"ID:"):
        return "emp", _read_emp(text)
    if first.startswith(b"#"):
        return "apx", _read_apx(text)
    if first[:1].isdigit():
        return "ugt", ugt.parse(text)
    number, line = text.next(expected)
    raise text.fault(number, "text", line, expected)


def write(path: str | Path, patterns: Pattern | ugt.Vectors, form: str | None = None) -> None:
    """Write patterns, whole or not at all; gzip where the name ends in .gz. form: one of FORMATS; by default "ugt"
    for vectors and "emp" for lanes.

    Raises `InputError` where the format cannot hold the patterns, `OutputError` where the file cannot be written.
    """
    form = form or ("ugt" if isinstance(patterns, ugt.Vectors) else "emp")
    if form not in FORMATS or (form == "ugt") != isinstance(patterns, ugt.Vectors):
        holds = "the vectors" if isinstance(patterns, ugt.Vectors) else "lanes"
        raise InputError(path, "format", form, f"one that holds {holds}, of {', '.join(FORMATS)}")
    if isinstance(patterns, ugt.Vectors):
        write_text(path, ugt.text(patterns))
    else:
        write_text(path, _emp_text(path, patterns) if form == "emp" else _apx_text(path, patterns))


def to_words(patterns: Pattern | ugt.Vectors, file: str = "pattern") -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Events uint64 (n, 19) and the slots with a fault on a link, bool (n,), from BX 0 of orbit 0 on.

    Lanes are received as in the firmware, see `receive`; vectors have no faults. `file`: named in errors.
    """
    if isinstance(patterns, ugt.Vectors):
        return ugt.to_words(patterns), np.zeros(len(patterns), np.bool_)
    received = receive(patterns, file)
    return received.words, received.bad


def _numbered(text: Text, numbers: list[int], found: list[int], name: str) -> None:
    """Refuse lost, repeated and moved lines."""
    wrong = np.flatnonzero(np.array(found) != np.arange(len(found)))
    if len(wrong):
        at = int(wrong[0])
        raise text.fault(numbers[at], name, found[at], f"{at}: clocks in order, from 0")


def _links(text: Text, number: int, tokens: list[bytes], form: bytes, expected: str) -> tuple[int, ...]:
    links: list[int] = []
    for token in tokens:
        match = re.fullmatch(form, token)
        if not match or int(match[1]) in links:
            raise text.fault(number, "link", token, f"{expected}, each once")
        links.append(int(match[1]))
    if not links:
        raise text.fault(number, "links", "none", expected)
    return tuple(links)


def _read_emp(text: Text) -> Pattern:
    board = text.next("")[1][3:].strip()
    if not re.fullmatch(rb"[ -~]*", board):
        raise text.fault(1, "ID", board, "printable ASCII characters")
    number, line = text.next("'Metadata: ...'")
    match = re.fullmatch(rb"Metadata:\s*(\(strobe,\)\s*|strobe,\s*|)" + _EMP_METADATA.encode(), line)
    if not match:
        raise text.fault(number, "metadata", line, f"'Metadata: (strobe,) {_EMP_METADATA}'")
    number, line = text.next("'Link 000 001 ...'")
    if line.split()[0] != b"Link":
        raise text.fault(number, "line", line, "'Link 000 001 ...'")
    links = _links(text, number, line.split()[1:], rb"(\d{1,3})", "numbers of at most three digits")
    # the first frame tells whether there is a strobe, where the metadata leave it open
    tokens = text.peek("'Frame 0000 ...'").split()
    n_flags = {b"": 4, b"strobe,": 5}.get(match[1].strip(), 5 if len(tokens) > 2 and len(tokens[2]) == 5 else 4)
    columns = [Column("line", "Frame", "'Frame'"), Column("frame", r"\d{4,9}", "its number, four digits or more")]
    for link in links:
        columns.append(Column(f"flags of link {link:03d}", f"[01]{{{n_flags}}}", f"{n_flags} digits 0 or 1"))
        columns.append(Column(f"word of link {link:03d}", _HEX64, "16 hexadecimal digits"))
    numbers, rows = text.rows(columns)
    _numbered(text, numbers, [int(row[1]) for row in rows], "frame")
    shape = (len(rows), len(links))
    data = hex_values([token for row in rows for token in row[3::2]], ">u8").reshape(shape).astype(np.uint64)
    bits = np.frombuffer(b"".join(token for row in rows for token in row[2::2]), np.uint8).reshape(*shape, n_flags)
    bits = bits == ord("1")
    planes = {name: np.ascontiguousarray(bits[..., i - 4]) for i, name in enumerate(_EMP_FLAGS)}
    strobe = np.ascontiguousarray(bits[..., 0]) if n_flags == 5 else None
    return Pattern(data, error=np.zeros(shape, np.bool_), links=links, board=board.decode(), strobe=strobe, **planes)


def _emp_text(path: str | Path, pattern: Pattern) -> bytes:
    if pattern.error.any():
        clock, link = (int(i) for i in np.argwhere(pattern.error)[0])
        raise InputError(path, f"error flag at clock {clock}", f"set on link {pattern.links[link]}",
                         "none: EMP files hold no errors, APx files do")  # fmt: skip
    planes = [getattr(pattern, name) for name in _EMP_FLAGS]
    if pattern.strobe is not None:
        planes.insert(0, pattern.strobe)
    flags = np.stack(planes, axis=-1).astype(np.uint8) + ord("0")
    body = _cells(flags, hex_digits(pattern.data, 16))
    width = flags.shape[-1] + 19
    header = [f"ID: {pattern.board}".rstrip(), f"Metadata: (strobe,) {_EMP_METADATA}", "",
              ("      Link  " + "".join(f"{link:03d}".center(width) for link in pattern.links)).rstrip()]  # fmt: skip
    lines = [line.encode() for line in header]
    lines += [b"Frame %04d  %s" % (i, row.tobytes()) for i, row in enumerate(body)]
    return b"\n".join(lines) + b"\n"


def _read_apx(text: Text) -> Pattern:
    number, line = text.next("")
    if line.split() != [b"#Sideband", b"ON"]:
        raise text.fault(number, "line", line, "'#Sideband ON': without it nothing tells where frames start")
    number, line = text.next("'#LinkLabel LINK_00 ...'")
    if line.split()[0] != b"#LinkLabel":
        raise text.fault(number, "line", line, "'#LinkLabel LINK_00 ...'")
    links = _links(text, number, line.split()[1:], rb"LINK_(\d{2,3})", "LINK_ and two or three digits")
    number, line = text.next("'#BeginData'")
    if line != b"#BeginData":
        raise text.fault(number, "line", line, "'#BeginData'")
    text.peek("a row of data")
    columns = [Column("row", "0x[0-9A-Fa-f]{4,8}", "0x and its number, four hexadecimal digits or more")]
    for link in links:
        columns.append(Column(f"sideband of link {link:02d}", "0x[01][0-9A-Fa-f]", "0x00 to 0x1f: five flags"))
        columns.append(Column(f"word of link {link:02d}", "0x" + _HEX64, "0x and 16 hexadecimal digits"))
    numbers, rows = text.rows(columns)
    _numbered(text, numbers, [int(row[0], 16) for row in rows], "row")
    shape = (len(rows), len(links))
    data = hex_values([token[2:] for row in rows for token in row[2::2]], ">u8").reshape(shape).astype(np.uint64)
    sideband = hex_values([token[2:] for row in rows for token in row[1::2]], "u1").reshape(shape)
    planes: dict[str, Any] = {name: (sideband >> i & 1).astype(np.bool_) for i, name in enumerate(FLAGS)}
    return Pattern(data, links=links, **planes)


def _apx_text(path: str | Path, pattern: Pattern) -> bytes:
    if pattern.strobe is not None:
        raise InputError(path, "strobe", "in the patterns", "none: APx files hold no strobe, EMP files do")
    sideband = np.zeros(pattern.data.shape, np.uint64)
    for i, name in enumerate(FLAGS):
        sideband |= getattr(pattern, name).astype(np.uint64) << np.uint64(i)
    body = _cells(_prefixed(hex_digits(sideband, 2)), _prefixed(hex_digits(pattern.data, 16)))
    labels = "".join(f"LINK_{link:02d}".center(25) for link in pattern.links)
    lines = [b"#Sideband ON", ("#LinkLabel " + labels).rstrip().encode(), b"#BeginData"]
    lines += [b"0x%04x  %s" % (i, row.tobytes()) for i, row in enumerate(body)]
    return b"\n".join(lines) + b"\n"


def _prefixed(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    prefix = np.broadcast_to(np.frombuffer(b"0x", np.uint8), (*digits.shape[:-1], 2))
    return np.concatenate([prefix, digits], axis=-1)


def _cells(flags: NDArray[np.uint8], words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lines of characters (clocks, width): for each link its flags, a blank, its word; two blanks between links."""
    clocks, links, width = *flags.shape[:2], flags.shape[2] + words.shape[2] + 3
    cells = np.full((clocks, links, width), ord(" "), np.uint8)
    cells[..., 2 : 2 + flags.shape[2]] = flags
    cells[..., -words.shape[2] :] = words
    return cells.reshape(clocks, links * width)
