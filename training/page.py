"""Pages of the documentation with sections that commands write: between two markers, and nothing else is touched.

The section of `ad40 compare` stands between the lines `<!-- begin: ad40 compare -->` and `<!-- end: ad40 compare -->`.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from ad40 import __version__
from ad40.errors import InputError
from ad40.files import atomic_path

_BEGIN, _END = "<!-- begin: {} -->", "<!-- end: {} -->"


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, the first column to the left and the others to the right.

    >>> print(table(["model", "LUT"], [["small", 3900]]))
    | model | LUT |
    | --- | ---: |
    | small | 3900 |
    """
    rule = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in (titles, rule, *rows))


def written_by(command: str) -> str:
    """First line of a section: the command, the version and the date."""
    return f"Written by `{command}` of ad40 {__version__} on {datetime.date.today().isoformat()}."


def write_section(page: Path, verb: str, text: str) -> None:
    """Replace what stands between the markers of a verb ("ad40 compare"); the rest of the page stays as it is.

    Raises `InputError` when the page or one of its two markers is missing, or stands there twice.
    """
    begin, end = check_section(page, verb)
    whole = page.read_text(encoding="utf-8")
    head, tail = whole[: whole.index(begin) + len(begin)], whole[whole.index(end) :]
    with atomic_path(page) as temporary:
        temporary.write_text(f"{head}\n\n{text.strip()}\n\n{tail}", encoding="utf-8")


def check_section(page: Path, verb: str) -> tuple[str, str]:
    """The two markers of a verb; before the work starts, it is sure that the page has them. Raises `InputError`."""
    begin, end = _BEGIN.format(verb), _END.format(verb)
    if not page.is_file():
        raise InputError(page, "page", "missing", f"a page with the lines {begin} and {end}")
    whole = page.read_text(encoding="utf-8")
    for marker in (begin, end):
        if whole.count(marker) != 1:
            raise InputError(page, f"marker {marker}", f"there {whole.count(marker)} times", "exactly once")
    if whole.index(begin) > whole.index(end):
        raise InputError(page, f"marker {end}", f"above {begin}", "below it")
    return begin, end
