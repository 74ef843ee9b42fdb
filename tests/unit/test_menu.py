"""Seeds, prescales and the accept; the menu document and its mistakes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ad40 import spec
from ad40.errors import HashMismatch, SpecError
from ad40.menu import Menu, MenuState, ModelRef, Rule, Seed, combine, read_menu, seed_bits, write_menu
from ad40.network import Network
from tests.conftest import make_network


def menu_of(*seeds: Seed, **more: Any) -> Menu:
    names = dict.fromkeys(seed.model for seed in seeds)
    return Menu(tuple(ModelRef(name, "h") for name in names), "s", seeds, **more)


def state(*seeds: Seed, **more: Any) -> MenuState:
    return MenuState(menu_of(*seeds, **more))


def prescaler(factor: int, fired: list[bool]) -> list[bool]:
    """The rule of the global trigger, written as its counter."""
    counter, passed = 0, []
    for bit in fired:
        ok = bool(bit and factor and counter + 100 >= factor)
        if bit and factor:
            counter += 100 - (factor if ok else 0)
        passed.append(ok)
    return passed


@given(
    factor=st.one_of(st.just(0), st.integers(100, 100000)),
    fired=st.lists(st.booleans(), max_size=300),
    cut=st.integers(0, 300),
)
def test_prescale_is_the_counter_of_the_global_trigger(factor: int, fired: list[bool], cut: int) -> None:
    seed = Seed("S", "m", 10, (factor / 100,))
    scores = np.where(fired, 10, 9) if fired else np.zeros(0, np.int64)
    menu = state(seed)
    parts = [menu.decide(scores[:cut]), menu.decide(scores[cut:])]
    after = np.concatenate([p.seeds_after[:, 0] for p in parts]).tolist()
    assert after == prescaler(factor, fired)
    assert sum(after) == (100 * sum(fired) // factor if factor else 0)


def test_threshold_edges_and_accept() -> None:
    d = state(Seed("A", "m", 10), Seed("B", "m", 20, (2,))).decide(np.array([9, 10, 11, 19, 20, 21]))
    assert d.seeds_before.astype(int).tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [1, 1], [1, 1]]
    assert d.seeds_after[:, 1].tolist() == [False, False, False, False, False, True]
    assert d.l1a.tolist() == [False, True, True, True, True, True]
    assert seed_bits(d.seeds_before).tolist() == [0, 1, 1, 1, 3, 3]


def test_several_models_masks_and_vetoes() -> None:
    seeds = (Seed("A", "m", 10), Seed("B", "n", 5, enabled=False), Seed("C", "n", 8, veto=True, enabled=False))
    d = state(*seeds).decide(np.array([[10, 0], [10, 5], [10, 8], [9, 5], [9, 8]]))
    assert seed_bits(d.seeds_after).tolist() == [1, 3, 7, 2, 6]
    assert d.l1a.tolist() == [True, True, False, False, False]


def test_bad_slots_and_bunch_crossings() -> None:
    orbit = spec.latency().orbit_bx
    seeds = (Seed("A", "m", 1), Seed("B", "m", 1, (2,), bx=((2, 3), (orbit - 1, orbit - 1))))
    bad = np.zeros(2 * orbit, bool)
    bad[3] = True
    machine = state(*seeds)
    parts = [machine.decide(np.ones(n, int), bad=bad[at : at + n]) for at, n in ((0, 2), (2, 2 * orbit - 2))]
    before = np.concatenate([part.seeds_before for part in parts])
    assert np.flatnonzero(~before[:, 0]).tolist() == [3]
    assert np.flatnonzero(before[:, 1]).tolist() == [2, orbit - 1, orbit + 2, orbit + 3, 2 * orbit - 1]
    assert np.flatnonzero(np.concatenate([p.seeds_after for p in parts])[:, 1]).tolist() == [orbit - 1, orbit + 3]


def test_columns_switch_at_a_lumi_section_and_counters_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    short = dataclasses.replace(spec.latency(), orbit_bx=5, lumi_orbits_log2=1)
    monkeypatch.setattr(spec, "latency", lambda: short)
    menu = menu_of(Seed("A", "m", 1, (3, 2, 0)), columns=("a", "b", "c"))
    whole = MenuState(menu, schedule={2: 1, 3: 2}).decide(np.ones(25, int))
    assert np.flatnonzero(whole.l1a).tolist() == [2, 5, 8, 11, 13, 15, 17, 19]
    machine = MenuState(menu, schedule={2: 1, 3: 2})
    parts = [machine.decide(np.ones(n, int)).l1a for n in (1, 9, 2, 13)]
    assert np.array_equal(np.concatenate(parts), whole.l1a)


@given(
    requests=st.lists(st.booleans(), min_size=1, max_size=200),
    windows=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(sorted),
    busy=st.integers(0, 2**32),
    cut=st.integers(0, 200),
)
def test_no_rule_is_ever_broken_and_none_is_stricter_than_needed(
    requests: list[bool], windows: list[int], busy: int, cut: int
) -> None:
    taken = np.array([bool(busy >> (i % 32) & 1) for i in range(len(requests))])
    machine = state(Seed("A", "m", 1), rules=tuple(Rule(i + 1, w) for i, w in enumerate(windows)))
    parts = [machine.decide(np.array(requests[a:b], int), busy=taken[a:b]) for a, b in ((0, cut), (cut, None))]
    l1a = np.concatenate([p.l1a for p in parts])
    accepted: list[int] = []
    for slot, request in enumerate(requests):  # the definition: how many accepts in the window that ends here
        full = any(sum(slot - t < w for t in accepted) >= i + 1 for i, w in enumerate(windows))
        assert l1a[slot] == (request and not taken[slot] and not full)
        if l1a[slot]:
            accepted.append(slot)


def test_combine() -> None:
    both = combine([menu_of(Seed("A", "m", 1)), menu_of(Seed("B", "n", 2))])
    assert both.seed_models == (0, 1) and [m.name for m in both.models] == ["m", "n"]
    with pytest.raises(SpecError, match="seeds is 'A' twice"):
        combine([menu_of(Seed("A", "m", 1)), menu_of(Seed("A", "n", 2))])
    with pytest.raises(SpecError, match="models is 'm' twice"):
        combine([menu_of(Seed("A", "m", 1)), menu_of(Seed("B", "m", 2))])
    with pytest.raises(SpecError, match="columns of n is"):
        combine([menu_of(Seed("A", "m", 1)), menu_of(Seed("B", "n", 2), columns=("high",))])


def test_round_trip(tmp_path: Path, network: Network) -> None:
    other = dataclasses.replace(make_network(2), name="other")
    seeds = (
        Seed("A", "test", 1, (1.25, 0)), Seed("B", "test", 7, (0, 1)),
        Seed("C", "other", 3, (1, 1), enabled=False, veto=True, bx=((1, 100), (200, 200))),
    )  # fmt: skip
    models = (ModelRef("test", network.hash), ModelRef("other", other.hash))
    menu = Menu(models, network.spec_hash, seeds, ("low", "high"), (Rule(1, 3), Rule(2, 25)))
    write_menu(tmp_path / "menu.yaml", menu)
    assert read_menu(tmp_path / "menu.yaml", (network, other)) == menu
    assert menu.rule_windows == (3, 25, 0, 0)


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "unknown key": (lambda d: d.update(bits=3), SpecError, "bits is an unknown key"),
    "missing key": (lambda d: d.pop("seeds"), SpecError, "seeds is missing"),
    "another model": (lambda d: d["models"][0].update(network_hash="0" * 64), HashMismatch, "models[0].network_hash is 000"),
    "models in another order": (lambda d: d["models"][0].update(name="x"), SpecError, "expected the models test"),
    "gap in the bits": (lambda d: d["seeds"][1].update(bit=2), SpecError, "seeds[1].bit is 2; expected 1: bits count up from 0 without gaps"),
    "more seeds than bits": (lambda d: d["seeds"].extend(dict(d["seeds"][1], bit=i, name=f"S{i}") for i in range(2, 33)), SpecError, "seeds[32].bit is 32; expected an integer from 0 to 31"),
    "seed of no model": (lambda d: d["seeds"][1].update(model="x"), SpecError, "seeds[1].model is 'x'; expected one of test"),
    "prescales of other columns": (lambda d: d["seeds"][1].update(prescales=[1, 1]), SpecError, "expected one prescale for each column: nominal"),
    "column twice": (lambda d: d.update(columns=["a", "a"]), SpecError, "columns is ['a', 'a']"),
    "empty range of bx": (lambda d: d["seeds"][1].update(bx=[[5, 4]]), SpecError, "seeds[1].bx[0] is [5, 4]"),
    "bx beyond the orbit": (lambda d: d["seeds"][1].update(bx=[[0, 3564]]), SpecError, "seeds[1].bx[0][1] is 3564"),
    "rule with too many accepts": (lambda d: d.update(rules=[{"l1a": 5, "bx": 9}]), SpecError, "rules[0].l1a is 5"),
    "inverted rules": (lambda d: d.update(rules=[{"l1a": 1, "bx": 9}, {"l1a": 2, "bx": 8}]), SpecError, "more accepts in more bunch crossings"),
    "other scales": (lambda d: d.update(spec_hash="1" * 64), HashMismatch, "spec_hash is 111"),
    "edited": (lambda d: d["seeds"][0].update(threshold=2), HashMismatch, "expected the recorded"),
    "fraction of a prescale": (lambda d: d["seeds"][0].update(prescales=[0.5]), SpecError, "seeds[0].prescales[0] is 0.5"),
    "three decimals": (lambda d: d["seeds"][0].update(prescales=[1.001]), SpecError, "at most two decimals"),
    "negative prescale": (lambda d: d["seeds"][0].update(prescales=[-1]), SpecError, "seeds[0].prescales[0] is -1"),
    "beyond the score": (lambda d: d["seeds"][1].update(threshold=10**7), SpecError, "seeds[1].threshold is 10000000"),
    "float threshold": (lambda d: d["seeds"][1].update(threshold=7.0), SpecError, "seeds[1].threshold is 7.0"),
    "inverted ladder": (lambda d: d["seeds"][1].update(threshold=0), SpecError, "loosest first"),
    "name twice": (lambda d: d["seeds"][1].update(name="A"), SpecError, "seeds[1].name is 'A'; expected a name used once"),
    "no seeds": (lambda d: d.update(seeds=[]), SpecError, "0 seeds"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path, network: Network) -> None:
    path = tmp_path / "menu.yaml"
    models = (ModelRef("test", network.hash),)
    write_menu(path, Menu(models, network.spec_hash, (Seed("A", "test", 1), Seed("B", "test", 7))))
    document = yaml.safe_load(path.read_text())
    change, kind, message = MISTAKES[mistake]
    change(document)
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(kind) as error:
        read_menu(path, (network,))
    assert str(path) in str(error.value)
    assert message in str(error.value)
