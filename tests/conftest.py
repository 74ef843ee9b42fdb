"""Fixtures that several test files share: a small frozen network, events on hardware, reference data."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ad40 import spec
from ad40.fixed import Fixed
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.model import Trigger
from ad40.network import InputStage, Layer, Network, Score, write_network

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of reference data, or a skip that names it."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data (../shared/data) are not here")
    return REFERENCE


def random_events(n: int, seed: int = 1) -> np.ndarray:
    """Physical events float32 (n, 19, 3) over the whole range of every field, objects sorted by pt."""
    rng = np.random.default_rng(seed)
    events = np.zeros((n, 19, 3), np.float32)
    for kind in spec.objects().types:
        shape = (n, kind.count)
        pt = -np.sort(-rng.exponential(kind.pt.max_value / 8, shape), axis=1)
        pt[np.arange(kind.count) >= rng.integers(0, kind.count + 1, n)[:, None]] = 0
        block = events[:, kind.slots]
        block[..., 0] = pt
        if kind.eta:
            block[..., 1] = rng.uniform(-1, 1, shape) * kind.eta.max_code * kind.eta.lsb
        block[..., 2] = rng.uniform(-np.pi, np.pi, shape)
        block[pt == 0] = 0
    return events


def make_network(seed: int = 1, sizes: tuple[int, ...] = (57, 12, 4, 12, 57)) -> Network:
    """A frozen network with random weights, half of them zero: for tests of exactness, not of physics."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        weight = rng.integers(-15, 16, (n_in, n_out)) * (rng.random((n_in, n_out)) < 0.5)
        layers.append(
            Layer(
                name=f"dense{i}",
                weight=weight,
                weight_format=Fixed(True, 0, 4),
                bias=rng.integers(-31, 32, n_out),
                bias_format=Fixed(True, 1, 4),
                activation="linear" if last else "relu",
                output=Fixed(True, 2, 5) if last else Fixed(False, 3, 3),
            )
        )
    offset, shift = np.zeros((19, 3), np.int64), np.zeros((19, 3), np.int64)
    for slot, kind in enumerate(spec.objects().slots):
        offset[slot, 2] = kind.phi.steps // 2
        shift[slot] = (2, int(kind.name == "muon"), kind.phi.bits - 8)
    mask = np.ones((19, 3), np.bool_)
    mask[0, 1] = False
    stage = InputStage(offset.ravel(), shift.ravel(), Fixed(True, 2, 5))
    return Network("test", "0", spec.objects().hash, stage, tuple(layers), Score("masked_l1", mask.ravel()))


@pytest.fixture(scope="session")
def network() -> Network:
    return make_network()


@pytest.fixture(scope="session")
def codes() -> np.ndarray:
    """4,000 hardware events over the whole range of every field, int32 (n, 19, 3)."""
    from ad40.objects import encode

    return encode(random_events(4000)).codes


@pytest.fixture(scope="session")
def model_dir(network: Network, codes: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as the emulator needs it: network.json and menu.yaml with three seeds, one prescaled."""
    from ad40.emulator import Emulator

    folder = tmp_path_factory.mktemp("model")
    scores = Emulator(network).score(codes)
    cuts = [int(np.quantile(scores, q)) for q in (0.5, 0.9, 0.99)]
    seeds = tuple(
        Seed(f"S{i}", "test", cut, (prescale,)) for i, (cut, prescale) in enumerate(zip(cuts, (2.5, 1, 1), strict=True))
    )
    write_network(folder / "network.json", network)
    write_menu(folder / "menu.yaml", Menu((ModelRef("test", network.hash),), network.spec_hash, seeds))
    return folder


@pytest.fixture(scope="session")
def rtl_trigger(network: Network) -> Trigger:
    """Two models of different formats and a menu with everything that a menu can have."""
    from ad40.model import read_trigger
    from tests.rtl import full_menu

    released = read_trigger([Path(__file__).parents[1] / "models" / "ad40_v1"]).networks[0]
    networks = (released, network)
    return Trigger(networks, full_menu(networks))


@pytest.fixture(scope="session")
def rtl_sources(rtl_trigger: Trigger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SystemVerilog of that design, without compiled networks: for benches of single blocks and for proofs."""
    from tests.rtl import write_rtl

    return write_rtl(tmp_path_factory.mktemp("rtl"), rtl_trigger)
