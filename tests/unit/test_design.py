"""Designs that would not work are refused before anything is generated, with file, path inside it, value and rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40 import spec
from ad40.errors import SpecError
from ad40.fixed import Fixed
from ad40.menu import Menu, ModelRef, Seed, write_menu
from ad40.model import Trigger
from ad40.network import Network, write_network
from firmware import design
from tests.conftest import make_network

FILE, MENU = Path("models/m/network.json"), Path("models/m/menu.yaml")


def board(*networks: Network, seeds: tuple[Seed, ...] | None = None) -> Trigger:
    """The networks side by side, one seed each."""
    refs = tuple(ModelRef(network.name, network.hash) for network in networks)
    chosen = seeds or tuple(Seed(f"S{i}", network.name, 100) for i, network in enumerate(networks))
    return Trigger(networks, Menu(refs, networks[0].spec_hash, chosen))


def check(trigger: Trigger, **latency: Any) -> None:
    files = [FILE.with_stem(f"network{i}" if i else "network") for i in range(len(trigger.networks))]
    design.check_design(trigger, replace(spec.latency(), **latency), files, MENU)


def test_three_models_and_32_seeds_fit() -> None:
    networks = tuple(replace(make_network(seed), name=f"m{seed}") for seed in (1, 2, 3))
    seeds = tuple(Seed(f"S{i}", f"m{i % 3 + 1}", 100 + i) for i in range(32))
    check(board(*networks, seeds=seeds))


def with_input(network: Network, **changes: Any) -> Network:
    return replace(network, input=replace(network.input, **changes))


def entry(values: np.ndarray, index: int, value: int) -> np.ndarray:
    changed = values.copy()
    changed[index] = value
    return changed


def wide_output(network: Network) -> Network:
    last = replace(network.layers[-1], output=Fixed(True, 22, 5))
    return replace(network, layers=(*network.layers[:-1], last))


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        (lambda n: replace(n, name="../m"), "name", "letters, digits"),
        (wide_output, "score", "at most 31"),
        # jet[2].pt: 1 to 2047 never gets beyond -1
        (lambda n: with_input(n, offset=entry(n.input.offset, 33, 5000), shift=entry(n.input.shift, 33, 16)),
         "input.offset[33], input.shift[33]", "something of jet[2].pt, 1 to 2047, into the input, -128 to 127: it would "
         "always be -1"),
        (lambda n: with_input(n, offset=entry(n.input.offset, 0, 1 << 16), shift=entry(n.input.shift, 3, -16)),
         "input", "stay within 32"),
        (lambda n: with_input(n, format=Fixed(True, 2, 12)), "input.format", "no word reaches more"),
        (lambda n: with_input(n, format=Fixed(True, 2, 5, "RND_CONV", "WRAP")), "input.format.overflow",
         "SAT: met.pt is 0 to 1023"),
    ],
)  # fmt: skip
def test_a_model_wider_than_the_words_is_refused(change: Any, field: str, rule: str) -> None:
    with pytest.raises(SpecError) as error:
        check(board(change(make_network())))
    assert error.value.file == str(FILE) and error.value.field == field and rule in str(error.value)


def test_an_input_that_nothing_reads_may_be_dead(network: Network) -> None:
    index = 33
    first = replace(network.layers[0], weight=network.layers[0].weight.copy())
    first.weight[index] = 0
    mask = network.score.mask.copy()
    mask[index] = False
    dead = with_input(network, offset=entry(network.input.offset, index, 5000))
    check(board(replace(dead, layers=(first, *network.layers[1:]), score=replace(network.score, mask=mask))))


def test_too_many_models_and_equal_names_are_refused() -> None:
    networks = tuple(replace(make_network(seed), name=f"m{seed}") for seed in (1, 2, 3, 4))
    with pytest.raises(SpecError, match="command line: MODEL_DIR is 4 models; expected 1 to 3"):
        check(board(*networks))
    twins = (networks[0], replace(networks[1], name="M1"))
    with pytest.raises(SpecError, match=r"network1\.json: name is M1; expected another name than the model of"):
        check(board(*twins))


def test_seeds_without_a_bit_and_thresholds_out_of_range_are_refused(network: Network) -> None:
    with pytest.raises(SpecError, match=r"menu\.yaml: seeds is 33 seeds; expected 1 to 32"):
        check(board(network, seeds=tuple(Seed(f"S{i}", "test", 1) for i in range(33))))
    for threshold in (-1, network.score_max + 2):
        seeds = (Seed("low", "test", 5), Seed("odd", "test", threshold))
        with pytest.raises(SpecError, match=rf"menu\.yaml: seeds\[1\]\.threshold is {threshold}; expected 0 to"):
            check(board(network, seeds=seeds))
    check(board(network, seeds=(Seed("off", "test", network.score_max + 1),)))


@pytest.mark.parametrize(
    ("latency", "field", "value"),
    [
        ({"budget_ns": 12.5}, "configurations.ugt240.stages", "3 of 3 clocks"),
        ({"stages": {"normalise": 8, "decision": 2}, "budget_ns": 41.7}, "configurations.ugt240.stages", "10 of 10"),
        ({"stages": {"normalise": 1, "decision": 3}}, "configurations.ugt240.stages.decision", "3"),
    ],
)
def test_stages_over_the_budget_are_refused(network: Network, latency: dict[str, Any], field: str, value: str) -> None:
    with pytest.raises(SpecError) as error:
        check(board(network), **latency)
    assert error.value.field == field and value in str(error.value) and "latency.yaml" in str(error.value)


def test_designs_are_read_from_folders(tmp_path: Path) -> None:
    folders = []
    for seed, name in ((1, "loose"), (2, "tight")):
        network = replace(make_network(seed), name=name)
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        write_network(folders[-1] / "network.json", network)
        menu = Menu((ModelRef(name, network.hash),), network.spec_hash, (Seed(f"{name}_seed", name, 100),))
        write_menu(folders[-1] / "menu.yaml", menu)
    both = design.read_design(folders, clock="ugt360")
    assert both.name == "loose + tight" and both.latency.clocks_per_bx == 9
    assert both.registers.sizes["models"] == 2 and both.registers.sizes["seeds"] == 2
    assert design.read_design(folders[:1]).latency == spec.latency()
    with pytest.raises(SpecError, match="latency configuration is ugt120; expected one of ugt240, ugt360"):
        design.read_design(folders, clock="ugt120")
    with pytest.raises(SpecError, match="'loose' twice"):
        design.read_design([folders[0], folders[0]])
