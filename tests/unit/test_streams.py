"""The filter of the searches: every stream at its threshold, and nothing lost by the earlier, loosened questions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ad40.offline_events import SHAPES
from training.generator import streams
from training.generator.detector import Particles

pytest.importorskip("fastjet", reason="fastjet is not installed: no jets")


def event(met: float = 0.0, **objects: list[float]) -> dict[str, np.ndarray]:
    """One event with objects of the given pt at eta 1; eta 2.5 for negative pt."""
    arrays = {name: np.zeros((1, *shape), np.float32) for name, shape in SHAPES.items()}
    arrays["met"][0, 0] = met
    for name, pts in objects.items():
        for k, pt in enumerate(pts):
            arrays[name][0, k] = (abs(pt), 1.0 if pt > 0 else 2.5, 0.0, 0.0)
    return arrays


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"met": 201.0}, True),
        ({"met": 199.0}, False),
        ({"muon": [61.0]}, True),
        ({"electron": [59.0]}, False),
        ({"electron": [-80.0]}, False),
        ({"electron": [31.0], "muon": [32.0]}, True),
        ({"electron": [31.0], "muon": [29.0]}, False),
        ({"photon": [151.0]}, True),
        ({"photon": [149.0, 29.0]}, False),
        ({"photon": [40.0, 31.0]}, True),
        ({"bjet": [501.0]}, True),
        ({"jet": [499.0]}, False),
        ({"jet": [201.0, 101.0], "bjet": [150.0, 101.0]}, True),
        ({"jet": [199.0, 190.0, 180.0, 170.0]}, False),
        ({"jet": [400.0, 300.0, 200.0, 99.0]}, False),
    ],
)
def test_each_stream_at_its_threshold(content: dict[str, Any], expected: bool) -> None:
    assert streams.passes(event(**content)).tolist() == [expected]


def particles(rows: list[tuple[int, int, float, float]]) -> Particles:
    """One event of massless rows (event, pdg, pt, phi) at eta 0."""
    number, pdg, pt, phi = (np.array(column) for column in zip(*rows, strict=True))
    px, py = pt * np.cos(phi), pt * np.sin(phi)
    return Particles(number, pdg, np.zeros(len(pt)), px, py, np.zeros(len(pt)), pt)


def test_final_state_particles_are_asked_with_looser_thresholds() -> None:
    rows = [
        (0, 13, 55.0, 0.0),
        (1, 13, 50.0, 0.0),
        (2, 14, 100.0, 0.0),
        (2, 1000022, 50.0, 0.0),
        (3, 14, 100.0, 0.0),
        (3, 14, 100.0, 3.1),
        (4, 22, 140.0, 0.0),
        *[(5, 211, pt, phi) for pt, phi in ((165.0, 0.0), (85.0, 1.0), (82.0, 2.0), (81.0, 3.0))],
        *[(6, 211, pt, phi) for pt, phi in ((165.0, 0.0), (85.0, 1.0), (82.0, 2.0), (70.0, 3.0))],
        (7, 211, 300.0, 0.0),
        (7, 130, 110.0, 0.2),  # the same jet
    ]
    assert streams.preselect(particles(rows), 9).tolist() == [0, 2, 4, 5, 7]


class _Particle:
    def __init__(self, code: int, pt: float) -> None:
        self._code, self._pt = code, pt

    def status(self) -> int:
        return 1

    def idAbs(self) -> int:
        return self._code

    def pT(self) -> float:
        return self._pt

    def px(self) -> float:
        return self._pt

    def py(self) -> float:
        return 0.0


class _Record(list[_Particle]):
    def size(self) -> int:
        return len(self)


def record(*rows: tuple[int, float]) -> _Record:
    return _Record([_Particle(2212, 0.0)] * 3 + [_Particle(*row) for row in rows])


PARTONS = {"scale": 60.0, "jet": 420.0, "jets": [190.0, 80.0], "photon": 130.0}
LEPTONS = {"lepton": 54.0, "lepton_pair": 27.0, "invisible": 140.0, "photon": 130.0}


def test_partons_and_leptons_that_keep_an_event() -> None:
    assert streams._hard_partons(record((21, 430.0)), PARTONS)
    assert not streams._hard_partons(record((21, 410.0), (1, 300.0)), PARTONS)
    assert streams._hard_partons(record((21, 195.0), (1, 90.0), (2, 90.0), (21, 85.0)), PARTONS)
    assert not streams._hard_partons(record((21, 195.0), (1, 90.0), (2, 90.0), (21, 75.0)), PARTONS)
    assert streams._hard_partons(record((21, 190.0), (22, 131.0)), PARTONS)
    assert streams._hard_leptons(record((15, 55.0)), LEPTONS)
    assert streams._hard_leptons(record((11, 28.0), (13, 28.0)), LEPTONS)
    assert not streams._hard_leptons(record((11, 50.0), (13, 26.0)), LEPTONS)
    assert streams._hard_leptons(record((12, 80.0), (14, 70.0)), LEPTONS)
    assert not streams._hard_leptons(record((21, 500.0)), LEPTONS)
