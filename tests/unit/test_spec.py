"""The shipped specs are read; every mistake in one is named with its path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ad40 import defaults, spec
from ad40.errors import SpecError

LOADERS = {"objects": spec.objects, "latency": spec.latency, "menu": spec.ladder}


def test_shipped_specs() -> None:
    assert spec.objects().slot_names[:2] == ("met", "egamma[0]") and len(spec.objects().slots) == 19
    latency = spec.latency()
    assert latency.budget_cycles == 12 and latency.network_stages_max == 12 - sum(latency.stages.values())
    assert spec.ladder().seeds[0].name == "AD40_VLoose"


MISTAKES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("objects", lambda d: d.update(colour=1), "colour is an unknown key"),
    ("objects", lambda d: d["types"][2]["pt"].update(lsb=-1), "types[2].pt.lsb is -1"),
    (
        "objects",
        lambda d: d["types"][2]["pt"].update(low=5),
        "types[2].phi.low is 0; expected bits that no other field",
    ),
    ("objects", lambda d: d["types"][3].update(count=9), "types is 18 slots"),
    ("objects", lambda d: d["types"][3].update(name="met"), "types[3].name is 'met'; expected a name used once"),
    ("objects", lambda d: d["types"][1]["phi"].update(low=30), "a field inside the 32-bit word"),
    ("objects", lambda d: d["types"][0]["phi"].update(steps=300), "types[0].phi.steps is 300"),
    ("latency", lambda d: d.update(clock_mhz=500), "clock_mhz is 500; expected a number from 200 to 360"),
    ("latency", lambda d: d.update(clocks_per_bx=9), "clocks_per_bx is 9; expected clock_mhz / 40 = 6"),
    ("latency", lambda d: d.update(budget_ns=8.0), "budget_ns is 8.0; expected more than the 2 clocks"),
    ("latency", lambda d: d["stages"].pop("threshold"), "stages.threshold is missing"),
    ("menu", lambda d: d["seeds"][0].update(background_efficiency=0), "seeds[0].background_efficiency is 0"),
    ("menu", lambda d: d["seeds"].reverse(), "loosest first"),
    ("menu", lambda d: d.update(seeds={}), "seeds is {}; expected a list"),
    ("menu", lambda d: d.update(luminosity_cm2s="high"), "luminosity_cm2s is 'high'"),
]


@pytest.mark.parametrize(("name", "change", "message"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_mistakes_are_named(name: str, change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path) -> None:
    document = yaml.safe_load((spec.FOLDER / f"{name}.yaml").read_text())
    change(document)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(SpecError) as error:
        LOADERS[name](path)
    assert message in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1"),
        ("version: 1\nversion: 1\n", "key 'version' is given twice"),
        ("", "a mapping with the keys"),
    ],
)
def test_yaml_that_is_not_a_document(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "latency.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match="latency.yaml") as error:
        spec.latency(path)
    assert message in str(error.value)


def test_default_paths_are_in_the_checkout() -> None:
    """Verbs without arguments work on the released model and the shipped sample, which must be there."""
    root = spec.FOLDER.parents[1]
    assert (root / defaults.MODEL / "network.json").is_file() and (root / defaults.BACKGROUND).is_file()
