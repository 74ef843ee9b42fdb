"""All figures of an analysis: DIR/plots/NAME.png and DIR/data/NAME.yaml of each, drawn by several processes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from ad40 import __version__
from ad40.files import file_hash
from ad40.progress import Progress
from offline.figures import hepdata
from offline.figures.style import save, stamp_of, style

Entry = dict[str, str]
MANY = 8  # fewer figures are drawn in this process: starting another takes longer


class Drawing(Protocol):
    """A figure: picklable, its numbers as a table, and how it is drawn."""

    def table(self) -> hepdata.Table: ...

    def draw(self) -> Figure: ...


@dataclass
class Book:
    """Collect figures with `add`, draw them with `finish`."""

    folder: Path
    qualifiers: Mapping[str, hepdata.Number] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    pending: list[tuple[Any, Path, str]] = field(default_factory=list)

    def add(self, name: str, drawing: Drawing, title: str, caption: str) -> Entry:
        """Write the data of a figure and put it down for drawing. Returns file, data, title, caption.

        A picture that was drawn from the same data is kept.
        """
        table = drawing.table()
        table = hepdata.Table(table.independent, table.dependent, {**self.qualifiers, **table.qualifiers})
        text = hepdata.write(self.folder / "data" / f"{name}.yaml", table)
        picture = self.folder / "plots" / f"{name}.png"
        stamp = sha256(f"{__version__} {_code(type(drawing))} {drawing!r} {text}".encode()).hexdigest()
        if stamp_of(picture) != stamp:
            self.pending.append((drawing, picture, stamp))
        entry = {"name": name, "file": f"plots/{name}.png", "data": f"data/{name}.yaml", "title": title,
                 "caption": caption}  # fmt: skip
        self.entries.append(entry)
        return entry

    def finish(self, jobs: int, comment: str) -> None:
        """Draw what is pending, remove pictures of figures that are no more, write data/submission.yaml."""
        with Progress(len(self.pending), "figures", "figures") as progress:
            if jobs > 1 and len(self.pending) > MANY:
                with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                    for _ in pool.map(_draw, self.pending, chunksize=4):
                        progress.update()
            else:
                for one in self.pending:
                    _draw(one)
                    progress.update()
        self.pending.clear()
        names = {entry["name"] for entry in self.entries}
        for old in (*self.folder.glob("plots/*.png"), *self.folder.glob("data/*.yaml")):
            if old.stem not in names | {"submission"}:
                old.unlink()
        hepdata.write_submission(self.folder / "data" / "submission.yaml", comment, self.entries)


@lru_cache
def _code(kind: type) -> str:
    """Hash of what draws a kind of figure: pictures are drawn again when it changes."""
    return file_hash(inspect.getfile(kind)) + file_hash(inspect.getfile(save))


def _draw(one: tuple[Any, Path, str]) -> None:
    drawing, path, stamp = one
    with style():
        save(drawing.draw(), path, stamp)
