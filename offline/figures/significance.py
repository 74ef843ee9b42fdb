"""Largest excess of every spectrum: local and global significance against mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable
from offline.figures.style import COLOURS, INK, MARKERS, label, mass_axis, panels


@dataclass(frozen=True)
class Significance:
    """One point for each spectrum.

    names: (stream, mass, region) of each; windows: (low, high) [GeV]; local_z, spectrum_z: local significance, and that
    after the trials within the spectrum; groups: what the colour tells, such as the region; overall_z: of the
    whole search (None if there was none).
    """

    names: list[tuple[str, str, str]]
    windows: list[tuple[float, float]]
    local_z: list[float]
    spectrum_z: list[float]
    groups: list[str]
    overall_z: float | None
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    def table(self) -> Table:
        """Columns over spectra."""
        stream, mass, region = (list(column) for column in zip(*self.names, strict=True))
        return Table(
            [Variable("stream", stream), Variable("mass", mass), Variable("region", region)],
            [
                Variable("window", self.windows, "GeV"),
                Variable("local significance", self.local_z),
                Variable("significance in the spectrum", self.spectrum_z),
            ],
            {"global significance": self.overall_z},
        )

    def draw(self) -> Figure:
        """Local significance above, after trials below; bars are the windows."""
        figure, axes = panels((1, 1), fixed=True)
        low, high = np.array(self.windows).T
        centre = np.sqrt(low * high)
        kinds = list(dict.fromkeys(self.groups))
        largest = int(np.argmax(self.local_z))
        for axis, values, text in zip(
            axes, (self.local_z, self.spectrum_z), (r"local [$\sigma$]", r"in its spectrum [$\sigma$]"), strict=True
        ):
            z = np.array(values)
            for k, kind in enumerate(kinds):
                here = np.array([g == kind for g in self.groups])
                bars = np.stack([centre - low, high - centre])[:, here]
                axis.errorbar(centre[here], z[here], xerr=bars, fmt=MARKERS[k % len(MARKERS)], ms=4.5, lw=0.9,
                              color=COLOURS[k % len(COLOURS)], label=kind, alpha=0.85)  # fmt: skip
            top = max(4.5, float(np.max(z)) * 1.4)
            axis.set_ylim(min(-0.5, float(np.min(z)) * 1.1), top)
            for sigma in (3, 5):
                if sigma < top:
                    axis.axhline(sigma, color=INK, lw=0.8, ls=":")
            axis.axhline(0, color=INK, lw=0.6)
            axis.set_ylabel(text, loc="center")
        name = " ".join(part for part in self.names[largest] if part)
        right = centre[largest] > np.sqrt(low.min() * high.max())
        axes[0].annotate(name, (centre[largest], self.local_z[largest]), xytext=(-6 if right else 6, 6),
                         textcoords="offset points", fontsize=11, ha="right" if right else "left")  # fmt: skip
        if self.overall_z is not None:
            text = rf"whole search: {self.overall_z:.1f}$\sigma$ global"
            axes[1].text(0.97, 0.93, text, transform=axes[1].transAxes, ha="right", va="top", fontsize=12)
        label(axes[0], self.luminosity_fb, self.sqrt_s, self.status)
        if len(kinds) > 1:
            axes[0].legend(ncols=min(len(kinds), 4), loc="upper left", fontsize=11, columnspacing=1, handletextpad=0.2)
        mass_axis(axes[1], float(low.min()) * 0.9, float(high.max()) * 1.15, "mass [GeV]")
        figure.align_ylabels()
        return figure
