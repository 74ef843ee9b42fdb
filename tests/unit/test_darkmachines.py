"""Dark Machines CSV: what stands in a line, in any block size; lines that are none."""

from pathlib import Path

import numpy as np
import pytest

from ad40.errors import InputError
from offline.objects.collection import ELECTRON_MASS, MUON_MASS, TYPES
from offline.objects.read import kind_of, open_objects

LINES = [
    "1;z_jets;0.5;150000;1.25;j,600000,400000,0.9,-2;b,80000,60000,-0.5,3;j,120000,110000,0.1,1",
    "2;susy;2;0;0;e-,50000,40000,0.6,0.1;m+,31000,30000,0.2,-1;e+,90000,60000,-0.9,2;g,25000,20000,0.6,0",
    "3;susy;1;30000;-3;",
]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_objects(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", [*LINES, ""])
    assert kind_of(path) == "darkmachines"
    with open_objects(path, counts={"jet": 3, "bjet": 1, "muon": 1, "electron": 2, "photon": 1}) as source:
        assert source.n == 3 and source.attributes["processes"] == ["susy", "z_jets"]
        (found,) = list(source.blocks())
        one_by_one = list(source.blocks(1))
    jet = found.jet[0]
    assert jet[:, 0].tolist() == [400, 110, 0]
    e, pt, eta = 600.0, 400.0, 0.9
    assert jet[0] == pytest.approx([pt, eta, -2, np.sqrt(e**2 - (pt * np.cosh(eta)) ** 2)], rel=1e-5)
    assert found.bjet[0, 0, :3] == pytest.approx([60, -0.5, 3])
    assert found.electron[1, :, 0].tolist() == [60, 40] and found.electron[1, 0, 3] == np.float32(ELECTRON_MASS)
    assert found.muon[1, 0, 3] == np.float32(MUON_MASS) and found.photon[1, 0].tolist() == [20, np.float32(0.6), 0, 0]
    assert all((found[name][2] == 0).all() for name in TYPES)
    assert found.met.tolist() == [[150, 1.25], [0, 0], [30, -3]]
    assert found.columns["weight"].tolist() == [0.5, 2, 1] and found.columns["process"].tolist() == [1, 0, 0]
    for k, one in enumerate(one_by_one):
        assert np.array_equal(one.jet[0], found.jet[k]) and one.columns["event"][0] == k


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4;susy;1;0;0;j,1,2,3", "event 1 is .*expected event ID; process ID"),
        ("4;susy;1;0", "event 1 is '4;susy;1;0'"),
        ("4 susy", "event 1 is '4 susy'"),
        ("4;susy;1;0;0;j,600000,x,0.9,-2", "event 1, pt is 'x'; expected a number"),
        ("4;susy;heavy;0;0", "event 1, weight is 'heavy'"),
        ("4;susy;1;0;0;tau,600000,400000,0.9,-2", "event 1, object is 'tau'; expected one of j, b"),
        ("4;susy;1;0;0;j,600000,-400000,0.9,-2", "event 1, jet.*expected pt >= 0"),
        ("4;susy;1;0;0;j,600000,nan,0.9,-2", "event 1, jet.*finite"),
        ("4;susy;1;-3;0", "event 1, met.pt is -0.003"),
        ("4;susy;1;0;0;j,100000,400000,0.9,-2", "event 1, jet.*expected mass >= 0"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "d.csv", [LINES[0], line])
    with pytest.raises(InputError, match=message), open_objects(path) as source:
        list(source.blocks())
