"""Event classes: the published totals by counting, and the occupancy of a sample."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline import classes as module
from offline import table
from offline.classes import LIMITS, TYPES, bodies, occupancy, of_objects, of_table, published_two_body, unlimited
from offline.objects.selection import Cuts, apply
from tests.unit.test_event_table import Memory, sample

LOW, HIGH = LIMITS["36/fb"], LIMITS["154/fb"]


def test_published_numbers_of_classes() -> None:
    """The totals of arXiv:2311.09012, and what its printed limits give where they differ."""
    assert unlimited() == 888_022
    assert len(LOW.classes()) == 6_676
    printed = tuple((types, most - 1 if most == 5 else most) for types, most in LOW.sums)
    assert len(replace(LOW, sums=printed).classes()) == 4_356, "leptons, and leptons and photons, < 5 instead of <= 5"
    assert len(HIGH.classes()) == 19_497
    printed = tuple(one for one in HIGH.sums if one[0] != ("jet", "bjet", "photon"))
    assert len(replace(HIGH, sums=printed, objects=(2, 100)).classes()) == 20_132
    assert bodies(LOW.classes()).sum() == 57_080
    assert published_two_body(LOW.classes()).sum() == 53_108


def test_unlimited_is_the_number_of_multisets() -> None:
    for types in (1, 3, 4):
        every = {tuple(sorted(c)) for r in (2, 3, 4) for c in itertools.product(range(types), repeat=r)}
        assert unlimited(2, 4, types) == len(every)


def test_limits_are_those_of_a_loop() -> None:
    """Vectorised against one class after the other, all conditions written out."""
    found = {tuple(row) for row in LOW.classes().tolist()}
    expected = set()
    for met, j, b, e, mu, tau, photon in itertools.product(range(3), range(8), range(6), *[range(5)] * 4):
        leptons, visible = e + mu + tau, j + b + e + mu + tau + photon
        good = met <= 1 and j <= 6 and b <= 4 and max(e, mu, tau, photon) <= 3 and j + b <= 9
        if good and leptons <= 5 and leptons + photon <= 5 and visible <= 12 and 2 <= met + visible <= 20:
            expected.add((met, j, b, e, mu, tau, photon))
    assert found == expected and len(found) == len(LOW.classes())


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_bodies_are_the_distinct_choices(k: int) -> None:
    some = HIGH.classes()[::997]
    assert len(some) > 15
    for row, number in zip(some, bodies(some, k), strict=True):
        visible = "".join(letter * n for letter, n in zip("jbemtp", row[1:], strict=True))
        assert number == len(set(itertools.combinations(visible, k)))


def test_published_recipe_leaves_out_one_object() -> None:
    """As the paper does it: the sorted list of letters, its first one never used."""
    some = LOW.classes()[::211]
    for row, number in zip(some, published_two_body(some), strict=True):
        letters = sorted("".join(letter * n for letter, n in zip("Mjbemtp", row, strict=True)))
        assert number == (len(set(itertools.combinations(letters[1:], 2))) if len(letters) >= 3 else 0)


def test_occupancy_counts_events_and_weights(tmp_path: Path) -> None:
    events = apply(sample(2000, 3), Cuts())
    found = of_objects(events)
    assert found.shape == (2000, len(TYPES)) and not found[:, TYPES.index("tau")].any()
    counted = occupancy(found, events.columns["weight"])
    assert counted.events.sum() == 2000 and (np.diff(counted.events) <= 0).all()
    assert counted.weight.sum() == pytest.approx(events.columns["weight"].sum(dtype=float))
    for k in (0, 7, len(counted.events) - 1):
        same = (found == counted.classes[k]).all(axis=1)
        assert same.sum() == counted.events[k]
        assert counted.weight[k] == pytest.approx(events.columns["weight"][same].sum(dtype=float))
    summary = counted.summary()
    low = summary["limits"]["36/fb"]
    assert low["possible"] == 6676 and low["possible_here"] == (LOW.classes()[:, TYPES.index("tau")] == 0).sum()
    inside = LOW.allow(found)
    assert low["events_outside"] == (~inside).sum()
    assert low["populated"] == len(np.unique(found[inside], axis=0)) <= low["possible_here"]
    assert low["populated"] + low["populated_outside"] == summary["classes"] == len(counted.classes)

    counted.write(tmp_path / "classes.csv")
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert len(lines) == 1 + summary["classes"]
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert int(first["events"]) == counted.events[0] and first["class"] == module.name(counted.classes[0])


def test_a_table_has_the_classes_of_its_events(tmp_path: Path) -> None:
    events = sample(300, 4)
    table.write(tmp_path / "t.h5", [Memory(tmp_path / "events", events)], streams=("any",), spectra=("jj",))
    with table.open_table(tmp_path / "t.h5") as found:
        assert np.array_equal(of_table(found), of_objects(apply(events, Cuts())))


def test_names_and_an_empty_sample() -> None:
    assert module.name(np.array([1, 3, 1, 0, 2, 0, 0])) == "MET+3j+b+2mu" and module.name(np.zeros(7, int)) == "nothing"
    summary = occupancy(np.zeros((0, 7), np.int64)).summary()
    assert summary["classes"] == summary["events"] == 0 and summary["limits"]["154/fb"]["populated"] == 0
