"""What a report is made of: sections of text, tables and pictures, rendered to one HTML file without outside parts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Text as it stands in a file."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its header."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A PNG inside the page. `alt` says what it shows to who does not see it; `data`: its numbers, a file beside the
    page."""

    uri: str
    alt: str
    caption: str
    data: str = ""
    kind: str = "picture"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side where the screen is wide enough."""

    pictures: Sequence[Picture]
    kind: str = "gallery"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a title that opens them: what is there for completeness."""

    title: str
    blocks: Sequence[Block]
    kind: str = "fold"


Block = Text | Code | Table | Picture | Gallery | Fold


@dataclass
class Section:
    """One part of the report. `missing`: what was not found, in words; shown, never filled in."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def picture(path: Path, caption: str, alt: str, data: str = "") -> Picture:
    """Embed a PNG file. Raises `OSError` when it cannot be read."""
    return Picture("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), alt, caption, data)


def breakable(text: str) -> Markup:
    """Allow a line break every 16 characters of a long word, such as a hash, so that it fits a narrow screen."""
    words = (word if len(word) < 40 else "\u200b".join(wrap(word, 16)) for word in text.split(" "))
    return Markup(escape(" ".join(words)).replace("\u200b", Markup("<wbr>")))


def render(title: str, subtitle: str, summary: Table, sections: list[Section]) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    template = environment.get_template(TEMPLATE)
    return template.render(title=title, subtitle=subtitle, summary=summary, sections=sections)
