"""The look of the figures: the CMS style of mplhep, smaller, in colours for every kind of colour vision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.stats import chi2

from ad40.files import atomic_path

INK, GREY, FIT, WINDOW = "#1a1a1a", "#9a9a9a", "#b3261e", "#f3dfb0"
GREEN, YELLOW = "#00a000", "#ffcc00"
"""Bands of expected limits at 1 and 2 standard deviations, as the field draws them."""

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd", "#009e73", "#1a1a1a")
"""Petroff's six (arXiv:2107.02270), which mplhep uses, and two more."""

MARKERS = "osD^vP*X"
SIZE = {
    "font.size": 15, "axes.linewidth": 1.2, "xtick.major.size": 8, "ytick.major.size": 8, "xtick.minor.size": 4,
    "ytick.minor.size": 4, "legend.fontsize": 12, "lines.markersize": 4, "savefig.dpi": 84,
}  # fmt: skip
STAMP = "ad40"

Floats = NDArray[np.float64]


@contextmanager
def style() -> Iterator[None]:
    """matplotlib with the style of the figures, restored afterwards."""
    with plt.style.context([mplhep.style.CMS, SIZE]):
        yield


def panels(
    ratios: tuple[float, ...] = (1,), size: tuple[float, float] = (7.6, 6.4), fixed: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of panels on top of each other with one x axis.

    fixed: the same margins whatever the labels are, which draws in half of the time; otherwise they follow the labels.
    """
    figure, axes = plt.subplots(
        len(ratios), 1, figsize=size, dpi=plt.rcParams["savefig.dpi"], sharex=True, height_ratios=ratios,
        layout="none" if fixed else "constrained", squeeze=False,
    )  # fmt: skip
    if fixed:
        width, height = size
        figure.subplots_adjust(0.98 / width, 0.66 / height, 1 - 0.12 / width, 1 - 0.36 / height, hspace=0.0)
    else:
        figure.get_layout_engine().set(hspace=0.0, h_pad=0.02)  # type: ignore[union-attr]
    return figure, list(axes[:, 0])


def label(axis: Axes, luminosity_fb: float | None, sqrt_s: float | None, status: str = "") -> None:
    """What stands above a figure: the project and the status of the sample on the left, luminosity on the right."""
    axis.set_title(rf"$\bf{{ad40}}$ {status}".strip(), loc="left", fontsize=15, pad=6, y=1.0)
    axis.set_title(conditions(luminosity_fb, sqrt_s), loc="right", fontsize=13, pad=6, y=1.0)


def conditions(luminosity_fb: float | None, sqrt_s: float | None) -> str:
    """Luminosity and energy, such as "140 fb-1 (13 TeV)"."""
    energy = f"{sqrt_s / 1000:g} TeV" if sqrt_s else ""
    if luminosity_fb is None:
        return energy
    value = f"{luminosity_fb:.3g} fb$^{{-1}}$" if luminosity_fb >= 0.1 else f"{1000 * luminosity_fb:.3g} pb$^{{-1}}$"
    return f"{value} ({energy})" if energy else value


def note(axis: Axes, lines: list[str], x: float = 0.04, y: float = 0.05) -> None:
    """Lines of small text at a place in an axis, (0, 0) to (1, 1)."""
    top = y > 0.5
    axis.text(x, y, "\n".join(lines), transform=axis.transAxes, fontsize=12, linespacing=1.35,
              va="top" if top else "bottom", ha="left" if x < 0.5 else "right")  # fmt: skip


def mass_axis(axis: Axes, low: float, high: float, text: str) -> None:
    """A logarithmic mass axis [GeV] with whole numbers at the ticks."""
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    steps = (1, 2, 5) if high / low > 6 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
    ticks = [s * 10**k for k in range(6) for s in steps if low <= s * 10**k <= high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.xaxis.set_minor_formatter("")
    axis.set_xlabel(text)


def intervals(n: Floats) -> Floats:
    """Central 68.3 % Poisson intervals (Garwood) as distances below and above n: (2, B)."""
    tail = 0.158655
    low = np.where(n > 0, chi2.ppf(tail, 2 * np.maximum(n, 1)) / 2, 0.0)
    high = chi2.isf(tail, 2 * (n + 1)) / 2
    return np.stack([n - low, high - n])


def save(figure: Figure, path: Path, stamp: str) -> None:
    """Write a PNG of few colours, which is a third of the size, with `stamp` in it: what it was drawn from."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    info = PngInfo()
    info.add_text(STAMP, stamp)
    with atomic_path(path) as temporary:
        few = image.quantize(96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(temporary, format="png", optimize=True, pnginfo=info)
    plt.close(figure)


def stamp_of(path: Path) -> str | None:
    """The stamp of a PNG written by `save`, None when there is none."""
    try:
        with Image.open(path) as image:
            return image.info.get(STAMP)
    except OSError:
        return None
