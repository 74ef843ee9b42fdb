"""The generator's documents: shipped ones are accepted, every kind of mistake is named with its path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ad40.errors import SpecError
from training.generator import tables

LOADERS = {"processes": tables.processes, "detector": tables.detector_settings}


def test_shipped_documents() -> None:
    assert sum(tables.processes()["mix"].values()) == pytest.approx(1)
    assert tables.detector_settings()["solenoid"]["field_tesla"] == 3.8


MISTAKES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("processes", lambda d: d.update(luminosity=1), "luminosity is an unknown key"),
    ("processes", lambda d: d["processes"]["W"].update(setings=[]), "processes.W.setings is an unknown key"),
    ("processes", lambda d: d["processes"]["QCD"]["slices"][1].pop("low"), "processes.QCD.slices[1].low is missing"),
    ("processes", lambda d: d["processes"]["Z"].update(tries=0), "processes.Z.tries is 0"),
    ("processes", lambda d: d["processes"]["Z"]["settings"].append(3), "processes.Z.settings[4] is 3; expected a text"),
    ("processes", lambda d: d["mix"].update(W=0.5), "expected shares that add up to 1"),
    ("processes", lambda d: d["mix"].update(WW=0.0), "mix.WW is 0.0; expected the share of a process"),
    (
        "processes",
        lambda d: d["search"].append("W"),
        "search[7] is 'W'; expected a process with a luminosity",
    ),
    (
        "processes",
        lambda d: d["stream_filter"]["streams"]["1l"].update(types=["tau"]),
        "stream_filter.streams.1l.types[0] is 'tau'",
    ),
    (
        "processes",
        lambda d: d["processes"]["search_W"]["parton_streams"].update(leptons=50.0),
        "processes.search_W.parton_streams.leptons is an unknown key",
    ),
    ("processes", lambda d: d["lhco"]["trigger"].pop("radius"), "lhco.trigger.radius is missing"),
    ("processes", lambda d: d["lhco"]["processes"]["background"].update(label=2), "background.label is 2"),
    ("detector", lambda d: d["offline"]["btag"].pop("name"), "offline.btag.name is missing"),
    ("detector", lambda d: d["offline"]["photon"].update(fake_efficiency=1.5), "fake_efficiency is 1.5"),
    ("detector", lambda d: d["jet"].update(cone=0.4), "jet.cone is an unknown key"),
    (
        "detector",
        lambda d: d["ecal"]["resolution"][1].pop(),
        "ecal.resolution[1] is [1.75, 0.006, 0.2]; expected 4 numbers",
    ),
    ("detector", lambda d: d["muon"]["efficiency"].reverse(), "upper edges rising"),
    ("detector", lambda d: d.update(strange_ecal_share=float("nan")), "strange_ecal_share is nan"),
    (
        "detector",
        lambda d: d["jet"].update(include_leptons="yes"),
        "jet.include_leptons is 'yes'; expected true or false",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_mistakes_are_named(name: str, change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path) -> None:
    document = yaml.safe_load((tables.FOLDER / f"{name}.yaml").read_text())
    change(document)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(SpecError) as error:
        LOADERS[name](path)
    assert message in str(error.value) and str(path) in str(error.value)
