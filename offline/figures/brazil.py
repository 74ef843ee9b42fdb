"""Upper limits against mass: observed, expected, and its bands of 1 and 2 standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from offline.figures.hepdata import Table, Variable
from offline.figures.style import COLOURS, GREEN, INK, MARKERS, YELLOW, label, mass_axis, note, panels

BANDS = ("expected -2 sigma", "expected -1 sigma", "expected", "expected +1 sigma", "expected +2 sigma")


@dataclass(frozen=True)
class Brazil:
    """Limits of one spectrum.

    limits: width [%] -> (masses [GeV], observed, five expected: -2 .. +2 sigma), in `unit`: cross-section times
    acceptance, or events. The bands are those of the first width; the others show their observed limits. method: how
    they were computed, in words.
    """

    mass: str
    limits: dict[str, tuple[list[float], list[float], list[list[float]]]]
    unit: str
    method: str
    lines: list[str]
    luminosity_fb: float | None
    sqrt_s: float
    status: str = ""

    @property
    def quantity(self) -> str:
        """What is limited."""
        return "events" if self.unit == "events" else "cross-section x acceptance x branching ratio"

    def table(self) -> Table:
        """One row for each width and mass."""
        rows = [
            (width, m, o, e)
            for width, (masses, observed, expected) in self.limits.items()
            for m, o, e in zip(masses, observed, expected, strict=True)
        ]
        named = {"CL": "95 %", "signal": "Gaussian", "quantity": self.quantity, "method": self.method}
        return Table(
            [
                Variable("relative width", [float(r[0]) for r in rows], "%"),
                Variable("signal mass", [r[1] for r in rows], "GeV"),
            ],
            [
                Variable("observed", [r[2] for r in rows], self.unit),
                *(Variable(name, [r[3][k] for r in rows], self.unit) for k, name in enumerate(BANDS)),
            ],
            named,
        )

    def draw(self) -> Figure:
        """Bands and lines on logarithmic axes."""
        figure, (axis,) = panels(size=(7.6, 5.6), fixed=True)
        low, high, top, bottom = np.inf, 0.0, 0.0, np.inf
        for k, (width, (masses, observed, expected)) in enumerate(self.limits.items()):
            m, five = np.array(masses), np.array(expected)
            if k == 0:
                axis.fill_between(m, five[:, 0], five[:, 4], color=YELLOW, lw=0, label=r"expected $\pm 2\sigma$")
                axis.fill_between(m, five[:, 1], five[:, 3], color=GREEN, lw=0, label=r"expected $\pm 1\sigma$")
                axis.plot(m, five[:, 2], color=INK, ls="--", lw=1.2, label="expected")
                axis.plot(m, observed, color=INK, marker="o", ms=4, lw=1.4, label=f"observed, {_width(width)}")
                top, bottom = float(five.max()), float(five.min())
            else:
                colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
                axis.plot(m, observed, color=colour, marker=marker, ms=3.5, lw=1.2, label=f"observed, {_width(width)}")
            low, high = min(low, float(m.min())), max(high, float(m.max()))
            top, bottom = max(top, max(observed)), min(bottom, min(observed))
        axis.set_yscale("log")
        axis.set_ylim(bottom / 8, top * 10)
        unit = "events" if self.unit == "events" else rf"$\sigma \times A \times B$ [{self.unit}]"
        axis.set_ylabel(f"95 % CL limit on {unit}")
        mass_axis(axis, low, high, f"{self.mass} [GeV]")
        label(axis, self.luminosity_fb, self.sqrt_s, self.status)
        note(axis, self.lines)
        axis.legend(loc="upper right", fontsize=11)
        return figure


def _width(width: str) -> str:
    return "width of the resolution" if float(width) == 0 else f"width {float(width):g} %"
