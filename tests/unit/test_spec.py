"""The shipped specs are read; every mistake in one is named with its path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ad40 import defaults, spec
from ad40.errors import SpecError

LOADERS = {
    "objects": spec.objects,
    "latency": lambda path: spec.latency(None, path),
    "links": spec.links,
    "menu": spec.ladder,
}


def test_shipped_specs() -> None:
    assert spec.objects().slot_names[:2] == ("met", "egamma[0]") and len(spec.objects().slots) == 19
    latency = spec.latency()
    assert latency.budget_cycles == 12 and latency.network_stages_max == 12 - sum(latency.stages.values())
    assert (spec.latency("ugt360").clocks_per_bx, spec.latency("ugt360").budget_cycles) == (9, 18)
    assert spec.links().payload_words == latency.clocks_per_bx and len(spec.links().positions) == 23
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
    (
        "latency",
        lambda d: d["configurations"]["ugt240"].update(clock_mhz=500),
        "ugt240.clock_mhz is 500; expected a number from 200 to 400",
    ),
    (
        "latency",
        lambda d: d["configurations"]["ugt240"].update(clocks_per_bx=9),
        "ugt240.clocks_per_bx is 9; expected clock_mhz / 40 = 6",
    ),
    (
        "latency",
        lambda d: d["configurations"]["ugt240"].update(budget_ns=8.0),
        "ugt240.budget_ns is 8.0; expected more than the 3 clocks",
    ),
    ("latency", lambda d: d["configurations"]["ugt240"]["stages"].pop("decision"), "ugt240.stages.decision is missing"),
    ("latency", lambda d: d.update(default="fast"), "default is 'fast'; expected one of ugt240, ugt360"),
    (
        "latency",
        lambda d: d["readout"].update(ring=128),
        "readout.ring is 128; expected a power of two above latency_bx = 160",
    ),
    (
        "links",
        lambda d: d["lanes"][3]["words"].__setitem__(0, "jet[1]"),
        "lanes[3].words[1] is 'jet[1]'; expected a word that no other place carries",
    ),
    (
        "links",
        lambda d: d["lanes"][3]["words"].__setitem__(0, "jet[10]"),
        "lanes[3].words[0] is 'jet[10]'; expected '-' or one of met, egamma[0]",
    ),
    ("links", lambda d: d["lanes"][3]["words"].pop(), "lanes[3].words is"),
    ("links", lambda d: d["lanes"].pop(), "lanes is without met"),
    ("links", lambda d: d["lanes"][1].update(name="muon0"), "lanes[1].name is 'muon0'; expected a name used once"),
    ("menu", lambda d: d["seeds"][0].update(background_efficiency=0), "seeds[0].background_efficiency is 0"),
    ("menu", lambda d: d["seeds"].reverse(), "loosest first"),
    (
        "menu",
        lambda d: d["seeds"][1].update(prescales=[1, 2]),
        "seeds[1].prescales is [1, 2]; expected one prescale for each of the 1 columns",
    ),
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
        spec.latency(None, path)
    assert message in str(error.value)


def test_unknown_latency_configuration() -> None:
    with pytest.raises(SpecError, match=r"latency configuration is ugt100; expected one of ugt240, ugt360"):
        spec.latency("ugt100")


def test_default_paths_are_in_the_checkout() -> None:
    """Verbs without arguments work on the released model and the shipped sample, which must be there."""
    root = spec.FOLDER.parents[1]
    assert (root / defaults.MODEL / "network.json").is_file() and (root / defaults.BACKGROUND).is_file()
