"""The smooth scan: smallest p-value of the whole analysis against the threshold of the anomaly score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from offline.figures.hepdata import Table, Variable
from offline.figures.style import COLOURS, GREY, INK, label, note, panels


@dataclass(frozen=True)
class Scan:
    """p-values at each threshold.

    cross_sections_pb: kept by each threshold, thresholds: of the score; local_p: smallest of all spectra; global_p:
    after the trials of all spectra at this threshold; best: name of the spectrum with the largest excess; scan_p: of
    the whole scan, thresholds and spectra together.
    """

    cross_sections_pb: list[float]
    thresholds: list[float]
    local_p: list[float | None]
    global_p: list[float | None]
    best: list[str]
    scan_p: float | None
    score: str
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """Columns over thresholds."""
        return Table(
            [Variable("cross-section kept", self.cross_sections_pb, "pb")],
            [
                Variable(f"threshold of {self.score}", self.thresholds),
                Variable("smallest local p", self.local_p),
                Variable("p over all spectra", self.global_p),
                Variable("spectrum of the largest excess", self.best),
            ],
            {"p of the scan": self.scan_p},
        )

    def draw(self) -> Figure:
        """p-values on logarithmic axes with lines at whole standard deviations."""
        figure, (axis,) = panels(size=(7.6, 5.6), fixed=True)
        x = np.array(self.cross_sections_pb)
        lowest = 1.0
        for values, colour, marker, text in (
            (self.local_p, COLOURS[0], "o", "smallest local p"),
            (self.global_p, COLOURS[2], "s", "all spectra at this threshold"),
        ):
            p = np.array([np.nan if v is None else v for v in values])
            axis.plot(x, p, color=colour, marker=marker, ms=4.5, lw=1.3, label=text)
            lowest = min(lowest, float(np.nanmin(p, initial=1.0)))
        if self.scan_p is not None:
            axis.axhline(self.scan_p, color=INK, lw=1.3, ls="--", label=f"whole scan, p = {self.scan_p:.2g}")
            lowest = min(lowest, self.scan_p)
        bottom = min(1e-4, lowest / 5)
        for sigma in range(1, 9):
            level = float(norm.sf(sigma))
            if level > bottom:
                axis.axhline(level, color=GREY, lw=0.8, ls=":")
                axis.text(float(x.max()) * 1.05, level, rf"{sigma}$\sigma$", fontsize=11, va="bottom", color=GREY)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(float(x.min()) / 1.3, float(x.max()) * 2)
        axis.set_ylim(bottom, 40)
        axis.set_ylabel("p-value")
        axis.set_xlabel("cross-section kept [pb]")
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        axis.legend(loc="upper left", ncols=1, fontsize=11)
        note(axis, [f"score: {self.score}"], x=0.96, y=0.95)
        return figure


@dataclass(frozen=True)
class Map:
    """Local significance of every spectrum at every threshold.

    names: of the spectra; cross_sections_pb: kept by each threshold; local_z: [spectrum][threshold], None where a
    spectrum was not searched.
    """

    names: list[str]
    cross_sections_pb: list[float]
    local_z: list[list[float | None]]
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """One row for each spectrum and threshold."""
        rows = [
            (n, x, z)
            for n, values in zip(self.names, self.local_z, strict=True)
            for x, z in zip(self.cross_sections_pb, values, strict=True)
        ]
        return Table(
            [Variable("spectrum", [r[0] for r in rows]), Variable("cross-section kept", [r[1] for r in rows], "pb")],
            [Variable("local significance", [r[2] for r in rows])],
        )

    def draw(self) -> Figure:
        """Thresholds to the right, spectra below each other."""
        figure, (axis,) = panels(size=(8.4, 1.8 + 0.19 * len(self.names)))
        z = np.array([[np.nan if v is None else v for v in row] for row in self.local_z], float)
        top = max(3.0, float(np.nanmax(z, initial=0.0)))
        image = axis.imshow(z, aspect="auto", cmap="YlOrRd", vmin=0, vmax=top, interpolation="none")
        axis.set_facecolor("#ececec")
        axis.set_yticks(range(len(self.names)), self.names, fontsize=9)
        step = max(1, len(self.cross_sections_pb) // 10)
        shown = range(0, len(self.cross_sections_pb), step)
        axis.set_xticks(shown, [f"{self.cross_sections_pb[k]:.2g}" for k in shown], fontsize=11)
        axis.minorticks_off()
        axis.tick_params(which="both", length=0)
        axis.set_xlabel("cross-section kept [pb]")
        bar = figure.colorbar(image, ax=axis, pad=0.02, fraction=0.04)
        bar.set_label(r"local [$\sigma$]", fontsize=12)
        bar.ax.tick_params(labelsize=10)
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        return figure
