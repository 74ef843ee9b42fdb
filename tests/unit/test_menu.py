"""Seeds, prescales and the accept; the menu document and its mistakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ad40.errors import HashMismatch, SpecError
from ad40.menu import Menu, MenuState, Seed, read_menu, seed_bits, write_menu
from ad40.network import Network


def state(*seeds: Seed) -> MenuState:
    return MenuState(Menu("m", "h", "s", seeds))


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
    seed = Seed("S", 10, factor / 100)
    scores = np.where(fired, 10, 9) if fired else np.zeros(0, np.int64)
    menu = state(seed)
    parts = [menu.decide(scores[:cut]), menu.decide(scores[cut:])]
    after = np.concatenate([p.seeds_after[:, 0] for p in parts]).tolist()
    assert after == prescaler(factor, fired)
    assert sum(after) == (100 * sum(fired) // factor if factor else 0)


def test_threshold_edges_and_accept() -> None:
    d = state(Seed("A", 10), Seed("B", 20, 2)).decide(np.array([9, 10, 11, 19, 20, 21]))
    assert d.seeds_before.astype(int).tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [1, 1], [1, 1]]
    assert d.seeds_after[:, 1].tolist() == [False, False, False, False, False, True]
    assert d.l1a.tolist() == [False, True, True, True, True, True]
    assert seed_bits(d.seeds_before).tolist() == [0, 1, 1, 1, 3, 3]


def test_round_trip(tmp_path: Path, network: Network) -> None:
    menu = Menu("m", network.hash, network.spec_hash, (Seed("A", 1, 1.25), Seed("B", 7, 0)))
    write_menu(tmp_path / "menu.yaml", menu)
    assert read_menu(tmp_path / "menu.yaml", network) == menu


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "unknown key": (lambda d: d.update(bits=3), SpecError, "bits is an unknown key"),
    "missing key": (lambda d: d.pop("seeds"), SpecError, "seeds is missing"),
    "another model": (lambda d: d.update(network_hash="0" * 64), HashMismatch, "network_hash is 000"),
    "other scales": (lambda d: d.update(spec_hash="1" * 64), HashMismatch, "spec_hash is 111"),
    "edited": (lambda d: d["seeds"][0].update(threshold=2), HashMismatch, "expected the recorded"),
    "fraction of a prescale": (lambda d: d["seeds"][0].update(prescale=0.5), SpecError, "seeds[0].prescale is 0.5"),
    "three decimals": (lambda d: d["seeds"][0].update(prescale=1.001), SpecError, "at most two decimals"),
    "negative prescale": (lambda d: d["seeds"][0].update(prescale=-1), SpecError, "seeds[0].prescale is -1"),
    "beyond the score": (lambda d: d["seeds"][1].update(threshold=10**7), SpecError, "seeds[1].threshold is 10000000"),
    "float threshold": (lambda d: d["seeds"][1].update(threshold=7.0), SpecError, "seeds[1].threshold is 7.0"),
    "inverted ladder": (lambda d: d["seeds"][1].update(threshold=0), SpecError, "loosest first"),
    "name twice": (lambda d: d["seeds"][1].update(name="A"), SpecError, "seeds[1].name is 'A'; expected a name used once"),
    "no seeds": (lambda d: d.update(seeds=[]), SpecError, "0 seeds"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path, network: Network) -> None:
    path = tmp_path / "menu.yaml"
    write_menu(path, Menu("m", network.hash, network.spec_hash, (Seed("A", 1), Seed("B", 7))))
    document = yaml.safe_load(path.read_text())
    change, kind, message = MISTAKES[mistake]
    change(document)
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(kind) as error:
        read_menu(path, network)
    assert str(path) in str(error.value)
    assert message in str(error.value)
