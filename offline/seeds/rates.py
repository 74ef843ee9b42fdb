"""Rates of a selection on a sample of processes with cross-sections, as `ad40 rates` computes them.

rate = sum over processes of cross-section x filter efficiency x luminosity x fraction that passes. Events that share a
hard process pass or fail together: the interval counts what they really tell (`ad40.metrics.efficiency`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import InputError
from ad40.metrics import efficiency, rate_hz
from offline.inputs import Inputs

KEY = "filtered_cross_section_pb"


def hz_of(events: Inputs) -> NDArray[np.float64]:
    """The rate that each event stands for, Hz (n,), of a sample that holds all events of its processes or a random part
    of them. Raises `InputError` when the file names no cross-sections."""
    hz = np.zeros(len(events))
    luminosity = spec.ladder().luminosity_cm2s
    for code in np.unique(events.process):
        process = events.processes.get(int(code), {})
        if KEY not in process:
            raise InputError(events.source, f"{KEY} of process {code}", "missing",
                             "processes with cross-sections, as `ad40 generate` writes them")  # fmt: skip
        here = events.process == code
        hz[here] = rate_hz(float(process[KEY]), 1.0, luminosity) / np.count_nonzero(here)
    return hz


def rate(passed: NDArray[np.bool_], events: Inputs, hz: NDArray[np.float64]) -> list[float]:
    """[low, value, high] Hz, 68 %, of the events (n,) that pass. hz: of `hz_of`, of the same events."""
    value = down = up = 0.0
    for code in np.unique(events.process):
        here = events.process == code
        total = float(hz[here].sum())
        low, middle, high = efficiency(passed[here], events.parent[here])
        value += total * middle
        down += (total * (middle - low)) ** 2
        up += (total * (high - middle)) ** 2
    return [max(value - math.sqrt(down), 0.0), value, value + math.sqrt(up)]
