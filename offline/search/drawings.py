"""All figures of a search, made from the results of its stages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from offline.autoencoder.stability import Stability, StabilityFigure
from offline.figures.anomaly import Points, Scores
from offline.figures.book import Book, Entry
from offline.figures.brazil import Brazil
from offline.figures.rmm import Matrix
from offline.figures.scan import Map, Scan
from offline.figures.significance import Significance
from offline.figures.spectrum import Shaping, Spectrum
from offline.objects.selection import STREAMS
from offline.regions import ALL
from offline.search.chain import Context
from offline.search.sample import DATA, PB_IN_FB
from offline.search.summary import Key, Row, fit_quality, key_of

STABILITY = {"run": "run", "lumi": "lumi section", "pileup": "collisions overlaid"}


@dataclass
class Figures:
    """Entries of the figures by what they show."""

    spectra: dict[Key, Entry] = field(default_factory=dict)
    shaping: dict[Key, Entry] = field(default_factory=dict)
    limits: dict[Key, Entry] = field(default_factory=dict)
    samples: list[Entry] = field(default_factory=list)
    stability: list[Entry] = field(default_factory=list)
    anomaly: list[Entry] = field(default_factory=list)
    significance: Entry | None = None
    scan: list[Entry] = field(default_factory=list)


class Artist:
    """Adds the figures of a search to a book."""

    def __init__(self, context: Context, book: Book) -> None:
        self.context, self.results, self.book = context, context.results, book
        data = self.results["table"][DATA]
        self.luminosity, self.sqrt_s = data["luminosity_fb"], float(data["sqrt_s"])
        self.status = context.analysis.status
        self.labels = {DATA: "data"} | {s.name: s.label for s in context.analysis.signals}
        self.common = {"luminosity_fb": self.luminosity, "sqrt_s": self.sqrt_s, "status": self.status}
        histograms = self.results["spectra"]
        self.masses = histograms["masses"]
        self.counts = {key_of(row): row["counts"] for row in histograms["rows"]}
        self.fits = {key_of(row): row for row in self.results["fits"]["rows"]}
        self.hunted = {key_of(row): row for row in self.results["hunt"]["rows"]}

    def all(self) -> Figures:
        """Every figure that the results allow."""
        made = Figures()
        for name, document in self.results["table"].items():
            made.samples.append(self._matrix(name, document))
        for key, row in self.fits.items():
            if row["reason"] is None:
                made.spectra[key] = self._spectrum(key, row, self.hunted.get(key))
        scanned = [row for row in self.hunted.values() if row["reason"] is None]
        if scanned:
            made.significance = self._significance(scanned)
        if "scores" in self.results:
            made.stability = self._stability()
        if "regions" in self.results:
            made.anomaly = self._regions()
            made.shaping = self._shaping()
        for row in self.results.get("limits", {"rows": []})["rows"]:
            if row["reason"] is None:
                made.limits[key_of(row)] = self._limit(row)
        if self.results.get("scan", {"steps": []})["steps"]:
            made.scan = self._scan(self.results["scan"])
        return made

    def _where(self, key: Key) -> list[str]:
        """Lines that say which events a figure shows."""
        stream, _, region = key
        lines = [] if len(self.context.analysis.streams) == 1 else [f"stream {stream}"]
        if region != ALL.name:
            lines.append(f"region {region}" if region.endswith("pb") else region)
        return lines

    def _name(self, kind: str, key: Key) -> str:
        return "_".join((kind, *key)).replace("<", "_")

    def _title(self, key: Key) -> str:
        return ", ".join([self.masses[key[1]]["label"], *self._where(key)])

    def _matrix(self, name: str, document: dict[str, Any]) -> Entry:
        rmm = document["rmm"]
        drawing = Matrix(self.labels[name], rmm["names"], rmm["mean"], [(a, b) for a, b in rmm["blinded"]],
                         document["events"], float(document["sqrt_s"]), self.status)  # fmt: skip
        caption = (
            f"Average rapidity-mass matrix of {self.labels[name]}, {document['events']:,} selected events: masses "
            "above the diagonal, rapidity differences below, transverse energies on it. Crosses: the masses that are "
            "searched, which the network does not see."
        )
        return self.book.add(f"rmm_{name}", drawing, f"Average matrix of {self.labels[name]}", caption)

    def _spectrum(self, key: Key, row: Row, hunted: Row | None) -> Entry:
        found = hunted if hunted and hunted["reason"] is None else None
        lines = [*self._where(key), f"fit p = {fit_quality(row, hunted):.2g}"]
        if found:
            lines.append(f"global p in this spectrum = {found['global_p']:.2g}")
        window = (found["window"][0], found["window"][1]) if found else None
        drawing = Spectrum(
            self.masses[key[1]]["label"], self.masses[key[1]]["edges"], self.counts[key], row["start"], row["expected"],
            row["pulls"], window, found["local_z"] if found else 0.0, row["function"], lines, **self.common,
        )  # fmt: skip
        caption = (
            f"{self._title(key)}: events (points, 68 % Poisson intervals), the {row['function']} fit from "
            f"{row['fit_range'][0]:.0f} to {row['fit_range'][1]:.0f} GeV (line)"
        )
        if window:
            caption += f" and the least likely window, {window[0]:.0f} to {window[1]:.0f} GeV (shaded)"
        return self.book.add(self._name("spectrum", key), drawing, f"Spectrum of {self._title(key)}",
                             caption + ". Below: the pull of each bin.")  # fmt: skip

    def _significance(self, rows: list[Row]) -> Entry:
        several = len({row["region"] for row in rows}) > 1
        drawing = Significance(
            [(row["stream"] if len(self.context.analysis.streams) > 1 else "", self.masses[row["mass"]]["label"],
              row["region"] if several else "") for row in rows],
            [(row["window"][0], row["window"][1]) for row in rows],
            [row["local_z"] for row in rows], [row["global_z"] for row in rows],
            [row["region"] if several else self.masses[row["mass"]]["label"] for row in rows],
            self.results["hunt"]["global"]["z"], **self.common,
        )  # fmt: skip
        caption = (
            "Largest excess of every spectrum at its window. Above: local significance; below: after the trials within "
            "the spectrum. The significance after all trials of the search stands in the figure."
        )
        return self.book.add("significance", drawing, "Local and global significance", caption)

    def _stability(self) -> list[Entry]:
        made, quantity = [], self.results["scores"]["quantity"]
        for one in self.results["scores"]["stability"]:
            if one["reason"] is None:
                axis = STABILITY[one["quantity"]]
                drawing = StabilityFigure(Stability(**one), quantity, axis, **self.common)
                caption = f"Median of {quantity} of the data against {axis}; dashed: their mean."
                name = f"stability_{one['quantity']}"
                made.append(self.book.add(name, drawing, f"Score against {axis}", caption))
        return made

    def _regions(self) -> list[Entry]:
        regions = self.results["regions"]
        shown = {self.labels[name]: share for name, share in regions["histogram"]["samples"].items()}
        made = []
        if shown and regions["histogram"]["edges"]:
            drawing = Scores(regions["quantity"], regions["histogram"]["edges"], shown,
                             {r["name"]: r["threshold"] for r in regions["regions"]}, **self.common)  # fmt: skip
            caption = "Distribution of the anomaly score in data and signals; dotted: thresholds of the regions."
            made.append(self.book.add("score", drawing, "Anomaly score", caption))
        cuts = regions["cuts"]
        accepted = {self.labels[name]: [_percent(own[cut]["acceptance"]) for cut in cuts]
                    for name, own in regions["acceptance"].items()}  # fmt: skip
        if cuts:
            drawing = Points("acceptance", "%", cuts, accepted, True, None, **self.common)
            caption = "Part of the selected events that each region, and the filter on y*, keeps; 68 % intervals."
            made.append(self.book.add("acceptance", drawing, "Acceptance of the anomaly regions", caption))
        for name, text in (("asimov", "Z from the Asimov likelihood"), ("naive", "Z = s/sqrt(b)")):
            gains = {self.labels[signal]: [_interval(own["cuts"][cut][name]) for cut in cuts]
                     for signal, own in regions["improvement"].items() if own["reason"] is None}  # fmt: skip
            if gains and cuts:
                drawing = Points("improvement dZ", "%", cuts, gains, False, 0.0, **self.common)
                caption = f"Improvement of the significance of each signal by each cut, {text}; 68 % intervals."
                made.append(self.book.add(f"improvement_{name}", drawing, f"Improvement, {text}", caption))
        return made

    def _shaping(self) -> dict[Key, Entry]:
        """Each mass of one stream with and without the loosest region whose spectrum could be fitted."""
        plan = self.context.analysis.limits
        streams = plan.streams if plan else self.context.analysis.streams[:1]
        names = [r["name"] for r in self.results["regions"]["regions"]]
        made: dict[Key, Entry] = {}
        for stream in streams:
            for mass, about in self.masses.items():
                before = self.fits[stream, mass, ALL.name]
                key = next(((stream, mass, n) for n in names if self.fits[stream, mass, n]["reason"] is None), None)
                if before["reason"] is not None or key is None:
                    continue
                parts = [(self.counts[k], row["start"], row["expected"], fit_quality(row, self.hunted[k]))
                         for k, row in (((stream, mass, ALL.name), before), (key, self.fits[key]))]  # fmt: skip
                function = " and ".join(dict.fromkeys((before["function"], self.fits[key]["function"])))
                drawing = Shaping(about["label"], about["edges"], parts[0], parts[1], key[2], function,
                                  self._where((stream, mass, ALL.name)), **self.common)  # fmt: skip
                caption = (
                    f"{about['label']} of all events and of those in the {key[2]} region, each with its own fit, and "
                    "the part that is kept. A cut that shapes the background would make a bump or a bad fit."
                )
                title = f"Shaping of {about['label']}, stream {stream}"
                made[key] = self.book.add(self._name("shaping", key), drawing, title, caption)
        return made

    def _limit(self, row: Row) -> Entry:
        key = key_of(row)
        scale = 1.0 / (PB_IN_FB * self.luminosity) if self.luminosity else 1.0
        curves: dict[str, tuple[list[float], list[float], list[list[float]]]] = {}
        for point in row["points"]:
            if point["reason"] is None:
                masses, observed, expected = curves.setdefault(f"{100 * point['width']:g}", ([], [], []))
                masses.append(point["mass"])
                observed.append(scale * point["observed"])
                expected.append([scale * v for v in point["expected"]])
        unit = "pb" if self.luminosity else "events"
        method = methods([row])
        drawing = Brazil(self.masses[key[1]]["label"], curves, unit, method, self._where(key), **self.common)
        caption = (
            f"{self._title(key)}: upper limits at 95 % CL on a Gaussian signal of several relative widths, with the "
            f"bands expected for the narrowest; {method}."
        )
        return self.book.add(self._name("limit", key), drawing, f"Limits in {self._title(key)}", caption)

    def _scan(self, scan: dict[str, Any]) -> list[Entry]:
        steps = scan["steps"]
        at = [s["cross_section_pb"] for s in steps]
        drawing = Scan(
            at, [s["threshold"] for s in steps], [s["local_p"] for s in steps], [s["global_p"] for s in steps],
            [s["best"] or "none" for s in steps], scan["p"], scan["quantity"], **self.common,
        )  # fmt: skip
        caption = (
            "The whole analysis at each threshold of the score: smallest local p-value, and the p-value after the "
            "trials of all spectra at this threshold. Dashed: after the trials of all thresholds too."
        )
        line = self.book.add("scan", drawing, "Scan of the threshold", caption)
        searched = [curve for curve in scan["curves"] if any(p["skipped"] is None for p in curve["thresholds"])]
        if not searched:
            return [line]
        names = [f"{self.masses[curve['mass']]['label']} {curve['stream']}" for curve in searched]
        values = [[p["local_z"] for p in curve["thresholds"]] for curve in searched]
        caption = (
            "Local significance of the largest excess of every spectrum at every threshold. Grey: not searched, mostly "
            "because too few events are left. Spectra that could be searched nowhere are not shown."
        )
        return [line, self.book.add("scan_map", Map(names, at, values, **self.common), "Map of the scan", caption)]


def methods(rows: list[Row]) -> str:
    """How the limits of some spectra were computed, in words."""
    used = Counter(point["method"] for row in rows for point in row.get("points", []) if point["reason"] is None)
    names = {"asymptotic": "by asymptotic formulae", "toys": "by pseudo-experiments", "pyhf": "by pyhf"}
    return ", ".join(f"{n} {names[method]}" for method, n in used.most_common()) or "none"


def stream_title(name: str) -> str:
    """Name and requirement of a stream."""
    return f"Stream {name}: {STREAMS[name].description}"


def _percent(values: list[float]) -> tuple[float, float, float]:
    low, value, high = values
    return 100 * low, 100 * value, 100 * high


def _interval(values: list[float | None]) -> tuple[float, float, float] | None:
    low, value, high = values
    if value is None:
        return None
    return (value if low is None else low), value, (value if high is None else high)
