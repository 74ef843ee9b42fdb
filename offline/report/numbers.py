"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, thousands separated, small ones as 1.2e-05."""
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e7):
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer() or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:,.{max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))}f}"


def interval(values: Sequence[float], scale: float = 1.0, digits: int = 3) -> str:
    """[low, value, high] as "value (low to high)"."""
    low, value, high = (number(scale * v, digits) for v in values)
    return f"{value} ({low} to {high})".replace(" ", "\u00a0")  # not broken over lines


def span(values: Sequence[float]) -> str:
    """[low, high] in whole units, not broken over lines."""
    return f"{values[0]:.0f} to {values[1]:.0f}".replace(" ", "\u00a0")
