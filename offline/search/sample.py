"""Stage `table`: the events of the data and of each signal, selected, with all that later stages need.

Everything that can be wrong with the files is found by `check`, before the first stage starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import Ad40Error, HashMismatch, InputError, SpecError
from offline import classes, table
from offline.objects.collection import Objects
from offline.objects.read import kind_of, open_objects
from offline.objects.selection import Cuts
from offline.objects.source import Source
from offline.rmm.layout import Layout
from offline.rmm.pictures import mean
from offline.search.analysis import Analysis
from offline.search.chain import Context

DATA = "data"
PB_IN_FB = 1000.0


@dataclass(frozen=True)
class Injection:
    """Events of another file that are added to the data, to test the search."""

    file: Path
    events: int


class Chosen(Source):
    """Some rows of another source, as a source. Rows rise. cross_section_pb: of the sample that they are added to."""

    def __init__(self, source: Source, rows: NDArray[np.integer], cross_section_pb: float | None) -> None:
        super().__init__(source.path, source.counts)
        self._source, self._rows = source, np.asarray(rows)
        self.n, self.kind, self.sqrt_s = len(rows), source.kind, source.sqrt_s
        self.cross_section_pb = cross_section_pb

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the other source, with the number of rows, and `injected`."""
        own = {"events": self.n, "cross_section_pb": self.cross_section_pb, "injected": True}
        return {**self._source.attributes, **own}

    def blocks(self, size: int = 65536, cuts: Cuts | None = None) -> Iterator[Objects]:
        """The rows, as `Source.blocks`."""
        first = 0
        for block in self._source.blocks(size, cuts):
            low, high = np.searchsorted(self._rows, [first, first + len(block)])
            if high > low:
                yield block.take(self._rows[low:high] - first)
            first += len(block)


def parse_injection(text: str) -> Injection:
    """Read FILE:N. Raises `Ad40Error` when N is not a positive number."""
    path, _, number = text.rpartition(":")
    if not path or not number.isdigit() or int(number) == 0:
        raise Ad40Error(f"--inject is '{text}'; expected FILE:N with N at least 1")
    return Injection(Path(path), int(number))


def check(analysis: Analysis, injection: Injection | None) -> dict[str, Any]:
    """Open every file and refuse what cannot be searched. Returns the hashes that the stage depends on."""
    used: dict[str, Any] = {"injected": None}
    for name, files in samples(analysis).items():
        with ExitStack() as stack:
            sources = [_open(file, analysis, stack) for file in files]
            signal = next((s for s in analysis.signals if s.name == name), None)
            used[name] = [[source.attributes["sha256"] for source in sources], signal and signal.cross_section_pb]
            _check_score(analysis, name, sources)
            if name == DATA:
                _same(sources)
                _check_luminosity(analysis, sources)
                if injection:
                    other = _open(injection.file, analysis, stack)
                    _same([sources[0], other])
                    rows = independent(other)
                    if injection.events > len(rows):
                        expected = f"at least the {injection.events} that --inject asks for"
                        raise InputError(injection.file, "independent events", len(rows), expected)
                    used["injected"] = [other.attributes["sha256"], injection.events]
    return used


def samples(analysis: Analysis) -> dict[str, tuple[Path, ...]]:
    """Files of the data and of each signal."""
    return {DATA: analysis.data} | {signal.name: signal.files for signal in analysis.signals}


def _open(file: Path, analysis: Analysis, stack: ExitStack) -> Source:
    events = analysis.events if analysis.events and file in analysis.data else None
    nanoaod = analysis.nanoaod if analysis.nanoaod and kind_of(file) == "nanoaod" else None
    return stack.enter_context(open_objects(file, counts=dict(analysis.counts), events=events, nanoaod=nanoaod))


def _check_score(analysis: Analysis, name: str, sources: list[Source]) -> None:
    """A score that is a column, or in files, is there for every sample."""
    score = analysis.score
    if score and score.files is not None and name not in dict(score.files):
        raise SpecError(analysis.file, "score.files", f"without {name}", "a score file for the data and each signal")
    if score and score.column is not None:
        for source in sources:
            columns = next((list(block.columns) for block in source.blocks(1)), [score.column])
            if score.column not in columns:
                expected = f"a column of {source.path}: {', '.join(sorted(columns))}"
                raise SpecError(analysis.file, "score.column", score.column, expected)


def _check_luminosity(analysis: Analysis, sources: list[Source]) -> None:
    """Regions need a luminosity."""
    known = analysis.luminosity_fb or all(_said(s.attributes) or s.cross_section_pb for s in sources)
    if (analysis.regions or analysis.scan) and not known:
        expected = f"a luminosity [1/fb] for the regions: {sources[0].path} does not say its cross-section"
        raise SpecError(analysis.file, "luminosity_fb", "not given", expected)


def _same(sources: list[Source]) -> None:
    """Records that are searched together were made by the same trigger."""
    first = sources[0]
    known = first.attributes.get("hashes", {})
    for other in sources[1:]:
        if (other.kind == "record") != (first.kind == "record"):
            raise InputError(other.path, "kind", other.kind, f"{first.kind}, as {first.path}")
        here = other.attributes.get("hashes", {})
        for name in here | known:
            if here.get(name) != known.get(name):
                expected = f"{known.get(name)} as in {first.path}"
                raise HashMismatch(other.path, f"hash of the {name}", here.get(name), expected)


def independent(source: Source) -> NDArray[np.intp]:
    """Rows of a file that are collisions of their own: the first of each `parent`."""
    parents = [block.columns["parent"] for block in source.blocks() if "parent" in block.columns]
    if not parents:
        return np.arange(source.n)
    return np.sort(np.unique(np.concatenate(parents), return_index=True)[1])


def stage(context: Context) -> tuple[dict[str, Any], list[Path]]:
    """Write DIR/tables/<sample>.h5 of every sample."""
    analysis, files = context.analysis, []
    injection: Injection | None = context.extra.get("injection")
    result: dict[str, Any] = {}
    for name, paths in samples(analysis).items():
        path = context.path(f"tables/{name}.h5")
        with ExitStack() as stack:
            sources = [_open(file, analysis, stack) for file in paths]
            if name == DATA and injection:
                other = _open(injection.file, analysis, stack)
                draw = np.random.default_rng(analysis.seed)
                rows = draw.choice(independent(other), injection.events, replace=False)
                sources.append(Chosen(other, np.sort(rows), sources[0].cross_section_pb))
            signal = next((s for s in analysis.signals if s.name == name), None)
            document = table.write(
                path, sources, streams=analysis.streams, spectra=analysis.spectra.names,
                layout=Layout(dict(analysis.counts)), cuts=analysis.cuts,
                cross_section_pb=signal.cross_section_pb if signal else None,
            )  # fmt: skip
        result[name] = describe(path, document)
        result[name]["luminosity_fb"] = luminosity_fb(analysis, document["sources"], document) if name == DATA else None
        files.append(path)
    return result, files


def describe(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What the report says of a table: its document, without long attributes of sources, and the average matrix."""
    kept = ("file", "sha256", "kind", "events", "source", "hashes", "models", "injected", "events_seen")
    sources = [{k: source[k] for k in kept if k in source} for source in document["sources"]]
    with table.open_table(path) as found:
        weight = found.column("weight")
        cells, _ = mean(found, weight > 0)
        names, blinded = list(found.layout.names), [list(found.layout.cell(c)) for c in found.layout.blinded]
        average = [[float(f"{value:.6g}") for value in row] for row in cells]
        populated = classes.occupancy(classes.of_table(found), weight).summary()
        negative, differing = int((weight < 0).sum()), bool(len(weight) and np.ptp(weight) > 0)
    about = {k: document[k] for k in ("events", "sqrt_s", "cross_section_pb", "cutflow", "copies_dropped",
                                      "saturated_left_out", "streams", "spectra")}  # fmt: skip
    about |= {"sources": sources, "classes": populated, "negative_weights": negative, "weights_differ": differing}
    return about | {"rmm": {"names": names, "blinded": blinded, "mean": average}}


def _said(source: dict[str, Any]) -> float:
    """The luminosity [1/pb] that a simulated sample says it has; 0 if it does not."""
    return float(source.get("sample", {}).get("luminosity_pb") or 0.0)


def luminosity_fb(analysis: Analysis, sources: Sequence[dict[str, Any]], document: dict[str, Any]) -> float | None:
    """Luminosity [1/fb] of the data: as the analysis says; else of a simulated sample, as its files say, or the sum of
    weights over the cross-section. None when nothing is known."""
    if analysis.luminosity_fb is not None:
        return analysis.luminosity_fb
    said = [_said(source) for source in sources if not source.get("injected")]
    if all(said):
        return sum(said) / PB_IN_FB
    weight, cross_section = document["cutflow"][0][2], document["cross_section_pb"]
    if not cross_section or not weight > 0:
        return None
    every = sum(source["events"] for source in sources)
    own = sum(source["events"] for source in sources if not source.get("injected"))
    return float(weight * own / every / cross_section / PB_IN_FB)
