"""Data quality: what is monitored, faults, tests of lumi sections, and what is known of their fluctuations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ad40 import links, objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.events import write_hw_sample
from ad40.model import read_model
from offline import inputs
from offline.dqm import faults, lumi, pseudo
from offline.dqm import monitor as monitors
from offline.dqm import reference as refs
from offline.dqm.monitor import LARGEST, MAP, RECENT_MAP, Alarm, Monitor, drift
from offline.dqm.quantities import OUTSIDE, Quantities, score_edges, settings
from offline.dqm.scan import Scan
from offline.dqm.watching import _join

SAMPLE = Path(__file__).resolve().parents[2] / "training" / "sample" / "background.h5"
EVENTS, PER_LUMI = 24_000, 600


@pytest.fixture(scope="module")
def model():
    return read_model("ad40_small")


@pytest.fixture(scope="module")
def events(model):
    found = inputs.read(SAMPLE, limit=EVENTS)
    codes = found.codes.astype(np.int32)
    return codes, model.trigger.score(codes)[:, 0].astype(np.int64), found.parent


@pytest.fixture(scope="module")
def reference(events, model):
    codes, score, parent = (a[: EVENTS // 2] for a in events)
    found = refs.build(codes, score, parent, model, np.random.default_rng(1), 23.0)
    return replace(found, about=found.about | {"per_lumi": float(PER_LUMI), "rate": 1e-3})


@pytest.fixture(scope="module")
def pool(events, reference):
    codes, score, _ = (a[EVENTS // 2 :] for a in events)
    return pseudo.Pool(codes, score, reference.quantities)


@pytest.fixture(scope="module")
def armed(reference, pool):
    values = pseudo.values(reference, pool, PER_LUMI, 300, 3)
    return replace(reference, thresholds=pseudo.thresholds(values, 1e-3))


def some(*particles):
    """One event: (kind, slot, pt, eta, phi) of each object."""
    event = np.zeros((1, 19, 3), np.float32)
    for kind, k, *values in particles:
        event[0, spec.objects()[kind].slots.start + k] = values
    return objects.encode(event).codes


# what is monitored


def test_an_event_as_a_vector():
    q = Quantities([10, 20])
    codes = some(("met", 0, 33, 0, 1.0), ("egamma", 0, 35, -2.0, 3.1), ("egamma", 1, 10, 0, 0),
                 ("jet", 0, 300, 0.3, -3.1), ("jet", 1, 22, 4.0, 0), ("jet", 2, 15.5, 0, 0))  # fmt: skip
    vector = q.vectors(codes, np.array([10]))[0]
    found = {h.name: vector[h.columns] for h in q.histograms}
    assert found["score"].tolist() == [0, 1, 0]
    assert found["met pt"].nonzero()[0].tolist() == [5]  # 30 to 35 GeV
    assert found["egamma pt"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]  # the electron of 10 GeV is below the first edge
    assert found["number of egamma"].tolist() == [0, 1, 0, 0] and found["number of muon"].tolist() == [1, 0, 0, 0]
    assert found["jet pt"].nonzero()[0].tolist() == [1, 11] and found["number of jet"].argmax() == 2
    assert found["egamma phi"].argmax() == 11 and found["jet phi"].nonzero()[0].tolist() == [0, 6]
    assert found["egamma eta"].argmax() == 1
    slots = [spec.objects().slot_names[i] for i in found["filled slots"].nonzero()[0]]
    assert slots == ["met", "egamma[0]", "egamma[1]", "jet[0]", "jet[1]", "jet[2]"]


def test_every_object_lies_in_its_cell(events):
    q = Quantities([10])
    codes = events[0][:2000]
    cells, physical = q.occupancy(codes), objects.decode(codes)
    at = 0
    for one in q.maps:
        kind = spec.objects()[one.kind]
        block, found = physical[:, kind.slots], cells[:, at : at + kind.count]
        at += kind.count
        here = block[..., 0] > 0
        assert (found[~here] == OUTSIDE).all() and (found[here] >= one.start).all() and (found[here] < one.stop).all()
        for (_, eta, phi), cell in zip(block[here][:300], found[here][:300], strict=True):
            where = one.where(*divmod(int(cell) - one.start, one.phi), 1, 1)
            for value, (low, high), half in ((eta, where["eta"], 0.0), (phi, where["phi"], np.pi / kind.phi.steps)):
                # phi is the middle of a code, the first of which begins half a code before -pi
                assert low - half - 2e-3 <= value <= high + half + 2e-3
    assert len(cells[0]) == at


def test_score_edges_are_scores_each_once():
    assert score_edges(np.array([0] * 50 + [5] * 45 + [9] * 5)) == [5, 9]
    assert score_edges(np.zeros(10, np.int64)) == []


def test_settings_that_make_no_sense_are_refused(tmp_path):
    text = (Path(refs.__file__).parent / "quantities.yaml").read_text()
    bad = tmp_path / "quantities.yaml"
    bad.write_text(text.replace("score_quantiles: [0.1, 0.25", "score_quantiles: [0.25, 0.1"))
    with pytest.raises(InputError, match=r"score_quantiles.*rising"):
        settings(bad)


# lumi sections


def test_sections_do_not_depend_on_blocks(tmp_path, events, model, monkeypatch):
    codes = events[0][:3000]
    lumis = np.repeat([4, 5, 7], [1000, 1500, 500]).astype(np.uint32)
    parent = np.arange(3000) // 2
    write_hw_sample(tmp_path / "a.h5", codes, {"run": np.full(3000, 9, np.uint32), "lumi": lumis, "parent": parent})
    q = Quantities([10, 50])
    whole = list(lumi.sections(lumi.blocks(tmp_path / "a.h5", model), q))
    monkeypatch.setattr(lumi, "BLOCK", 333)
    pieces = list(lumi.sections(lumi.blocks(tmp_path / "a.h5", model), q))
    assert [w[:2] for w in whole] == [p[:2] for p in pieces] == [(9, 4), (9, 5), (9, 7)]
    score = model.trigger.score(codes)[:, 0]
    for (_, number, a), (_, _, b) in zip(whole, pieces, strict=True):
        rows = lumis == number
        own = lumi.count(q.vectors(codes[rows], score[rows]), q.occupancy(codes[rows]), q.cells, parent[rows])
        for c in (a, b):
            assert (c.events, c.pairs) == (own.events, own.pairs) and own.pairs == own.events
            assert (c.vector == own.vector).all() and (c.cells == own.cells).all()
    counted = list(lumi.sections(lumi.blocks(tmp_path / "a.h5", model, 1100), q))
    assert [(number, c.events) for _, number, c in counted] == [(1, 1100), (2, 1100), (3, 800)]


def test_files_without_lumi_sections_are_refused(model):
    with pytest.raises(InputError, match="--per-lumi"):
        next(lumi.blocks(SAMPLE, model))
    with pytest.raises(InputError, match="--model"):
        next(lumi.blocks(SAMPLE, None, 100))
    with pytest.raises(InputError, match="one of"):
        next(lumi.blocks(SAMPLE, model, 100, "AD40_Loose"))


# faults


def test_energy_scale(events):
    codes = events[0]
    up = faults.energy_scale(codes, np.random.default_rng(1), 1.03)
    for name, change in (("met", 1.03), ("egamma", 1.03), ("jet", 1.03), ("muon", 1.0)):
        slots = spec.objects()[name].slots
        assert up[:, slots, 0].sum() / codes[:, slots, 0].sum() == pytest.approx(change, abs=1e-3)
        assert (np.diff(up[:, slots, 0], axis=1) <= 0).all()
    down = faults.energy_scale(codes, np.random.default_rng(1), 0.97)
    assert objects.present(down).sum() < objects.present(codes).sum()  # jets below the threshold are gone
    assert faults.in_stream(codes, 23.0).all() and not faults.in_stream(down, 23.0).all()
    assert faults.in_stream(down, None).all()


def test_dead_sector(events):
    codes = events[0][:4000]
    dead = faults.dead_sector(codes, ("egamma", "jet"), 3.0, 0.5)  # beyond pi
    before, after = objects.decode(codes), objects.decode(dead)
    for name in ("egamma", "jet"):
        slots = spec.objects()[name].slots
        inside = [((e[:, slots, 2] - 3.0) % (2 * np.pi) < 0.5) & (e[:, slots, 0] > 0) for e in (before, after)]
        assert inside[0].sum() > 20 and not inside[1].any()
        assert (np.diff(after[:, slots, 0], axis=1) <= 0).all()
        assert (after[:, slots, 0] > 0).sum() == (before[:, slots, 0] > 0).sum() - inside[0].sum()
    changed = (codes != dead).any(axis=(1, 2))
    here = slice(1, 5), slice(9, 19)  # electrons and jets; with MET they balance as before, to within a code
    total = [sum(np.stack([(e[:, s, 0] * f(e[:, s, 2])).sum(axis=1) for f in (np.cos, np.sin)])
                 for s in (slice(0, 1), *here)) for e in (before, after)]  # fmt: skip
    assert changed.sum() > 100 and (np.abs(total[0] - total[1]).max(axis=0) < 1 + 0.03 * after[:, 0, 0]).all()
    muons = faults.dead_sector(codes, ("muon",), 0.0, 1.0)
    assert (muons[:, 0] == codes[:, 0]).all() and (muons[:, 9:] == codes[:, 9:]).all() and (muons != codes).any()


def test_hot_tower(events):
    codes = events[0][:5000]
    hot = faults.hot_tower(codes, np.random.default_rng(2), 0.1, 1.0, -2.0)
    changed = (hot != codes).any(axis=(1, 2))
    assert changed.mean() == pytest.approx(0.1, abs=0.015)
    jets = objects.decode(hot[changed])[:, spec.objects()["jet"].slots]
    near = (np.abs(jets[..., 1] - 1.0) < 0.03) & (np.abs(jets[..., 2] + 2.0) < 0.03) & (jets[..., 0] >= 15)
    assert near.any(axis=1).all() and (np.diff(jets[..., 0], axis=1) <= 0).all()


def test_swapped_links(events):
    codes = events[0][:2000]
    lanes = [lane.name for lane in spec.links().lanes]
    swapped = faults.swapped_links(codes, "jet0", "jet1")
    jets = spec.objects()["jet"].slots.start
    assert (swapped[:, jets : jets + 4] == codes[:, jets + 6 : jets + 10]).all()
    assert (swapped[:, jets + 6 : jets + 10] == codes[:, jets : jets + 4]).all()
    for a in lanes:
        for b in lanes:
            if a != b:
                objects.check_codes(faults.swapped_links(codes, a, b))  # readers take the codes
    frames = links.to_frames(objects.pack(codes))
    with pytest.raises(InputError, match="one of muon0"):
        faults.swapped_links(codes, "jet0", "jet9")
    assert frames.shape[1] == len(lanes)


def test_faults_are_drawn_from_the_seed_and_refused_out_of_range():
    one, two = (faults.make("hot tower", np.random.default_rng(5)) for _ in range(2))
    assert one.about == two.about and -3 <= one.about["eta"] <= 3
    signs = {np.sign(faults.make("energy scale", np.random.default_rng(k)).about["percent"]) for k in range(20)}
    assert signs == {-1.0, 1.0}
    rng = np.random.default_rng(1)
    for name, size, more in (("hot tower", 2.0, {}), ("energy scale", 500.0, {}), ("warm tower", None, {}),
                             ("swapped links", None, {"lanes": ["jet0", "jet0"]})):  # fmt: skip
        with pytest.raises(InputError):
            faults.make(name, rng, size, **more)


# the tests of a section


def test_window_that_is_hot_or_dead_is_found_where_it_is():
    q = Quantities([10])
    rng = np.random.default_rng(4)
    reference = np.zeros(q.cells, np.int64)
    jet = next(m for m in q.maps if m.kind == "jet")
    for m in q.maps:
        grid = reference[m.start : m.stop].reshape(m.eta, m.phi)
        grid[m.eta // 4 : -m.eta // 4] = 400
    scan, clean = Scan(q, reference), rng.poisson(reference / 200)
    quiet = scan(clean).value
    cell = jet.start + (jet.eta // 2) * jet.phi + 71
    hot = clean.copy()
    hot[cell] += 30
    found = scan(hot)
    assert found.hot and (found.kind, found.row, found.column) == ("jet", jet.eta // 2, 71) and found.value > 2 * quiet
    o, r, rho = found.observed, 400.0, hot[jet.start : jet.stop].sum()
    rho = rho / (rho + reference[jet.start : jet.stop].sum())
    direct = 2 * (o * np.log(o / ((o + r) * rho)) + r * np.log(r / ((o + r) * (1 - rho))))
    assert found.value == pytest.approx(direct) == pytest.approx(scan.again(found, hot))
    dead = clean.copy()
    grid = dead[jet.start : jet.stop].reshape(jet.eta, jet.phi)
    grid[:, 70:] = 0
    grid[:, :2] = 0
    found = scan(dead)
    assert not found.hot and found.observed == 0 and found.height > jet.eta // 4
    assert found.column in (70, 0, 71) or (found.width in (2, 4) and found.value > 2 * quiet)
    assert found.value == pytest.approx(scan.again(found, dead))


def test_means_fluctuate_as_the_tests_think(reference, pool):
    monitor, rng = Monitor(reference), np.random.default_rng(6)
    z = np.array([list(monitor.step(pool.section(rng, PER_LUMI)).z.values()) for _ in range(300)])
    # the events drawn from and the reference are finite: the mean may be off by what both fluctuate
    assert np.abs(z.mean(axis=0)).max() < 1.2 and np.abs(z.std(axis=0) - 1).max() < 0.2


def test_what_the_reference_is_off_by_is_no_drift(reference, pool, monkeypatch):
    largest = {}
    for lasting in (monitors.LASTING, 0.0):
        monkeypatch.setattr(monitors, "LASTING", lasting)
        monitor, rng = Monitor(reference), np.random.default_rng(12)
        largest[lasting] = [monitor.step(pool.section(rng, 4000)).values[drift(0.5)] for _ in range(60)]
    slow, blind = largest.values()
    assert max(slow) < 20 and slow[-1] < 10 and max(blind) > 2 * max(slow)  # the one grows without end


def test_events_of_one_parent_are_counted_as_correlated(events, model):
    codes, score, _ = (a[:6000] for a in events)
    twice = [np.repeat(a, 2, axis=0) for a in (codes, score, np.arange(6000))]
    reference = refs.build(*twice, model, np.random.default_rng(1))
    q = reference.quantities
    vectors, cells = q.vectors(codes, score), q.occupancy(codes)
    assert np.allclose(reference.pair_covariance, reference.covariance)  # a copy is as far from the mean
    spread = {}
    for known in (True, False):
        rng, monitor = np.random.default_rng(7), Monitor(reference)
        z = []
        for _ in range(150):
            rows = np.repeat(rng.permutation(6000)[:100], 2)
            parent = rows if known else None
            z.append(list(monitor.step(lumi.count(vectors[rows], cells[rows], q.cells, parent)).z.values()))
        spread[known] = np.std(z, axis=0).mean()
    assert spread[True] == pytest.approx(1, abs=0.1) and spread[False] == pytest.approx(np.sqrt(2), abs=0.15)


def test_scale_is_measured(reference, pool, model):
    monitor, rng = Monitor(reference), np.random.default_rng(8)
    fault = faults.make("energy scale", rng, -3.0)
    found = [monitor.step(pool.faulty(rng, PER_LUMI, fault, model, 23.0)).scales["scale of the calorimeter"]
             for _ in range(60)]  # fmt: skip
    value, sigma = np.mean(found, axis=0)
    assert value == pytest.approx(-3, abs=1.0) and 0.3 < sigma < 1.5


def test_thresholds_continue_an_exponential_tail():
    values = {name: np.random.default_rng(k).exponential(2.0, 20_000) for k, name in enumerate("ab")}
    for threshold in pseudo.thresholds(values, 2e-4).values():
        assert threshold == pytest.approx(2 * np.log(1e4), rel=0.1)


def test_faults_are_found_and_named(armed, pool, model):
    expected = {"hot tower": "map", "dead sector": "map", "energy scale": "drift", "swapped links": ""}
    for name, test in expected.items():
        found = pseudo.trials(armed, pool, PER_LUMI, name, None, 4, model, 9)
        assert found["median"] <= 6 and found["trials"] == len(found["sections"]) == 4
        assert any(test in first for first in found["first_test"])
    hot = pseudo.trials(armed, pool, PER_LUMI, "hot tower", 0.05, 3, model, 9, eta=1.0, phi=-2.0)
    assert all("jet hot at eta 0.9" in t["what"] for t in hot["tries"])
    again = pseudo.trials(armed, pool, PER_LUMI, "hot tower", 0.05, 3, model, 9, eta=1.0, phi=-2.0)
    assert hot == again


def test_few_alarms_without_a_fault(armed, pool):
    found = pseudo.false_alarms(armed, pool, PER_LUMI, 300, 10)
    assert found["alarms"] <= 5 and found["rate"][0] <= found["rate"][1] <= found["upper_95"]
    assert set(found["by_test"]) == set(monitors.tests(armed))


def test_an_alarm_says_since_when(armed, pool, model):
    monitor, rng = Monitor(armed), np.random.default_rng(11)
    for _ in range(20):
        monitor.step(pool.section(rng, PER_LUMI))
    fault = faults.make("hot tower", rng, 0.012, eta=0.5, phi=1.0)
    k, raised = 0, []
    while not raised and k < 10:
        raised, k = monitor.step(pool.faulty(rng, PER_LUMI, fault, model, 23.0)).alarms, k + 1
    assert raised and all(1 <= a.back <= k + 2 for a in raised if a.test in (MAP, RECENT_MAP))
    assert monitor.step(pool.section(rng, PER_LUMI)).values.keys() == {
        t for t in monitors.tests(armed) if "recent" not in t
    }


def test_a_handful_of_events_is_compared_too(armed, pool):
    verdict = Monitor(armed).step(pool.section(np.random.default_rng(1), 3))
    assert all(np.isfinite(v) and v <= LARGEST for name, v in verdict.values.items() if "map" not in name)
    assert drift(0.5) in verdict.values


def test_episodes():
    empty = lumi.Counts(1, 0, np.ones(1, np.int64), np.ones(1, np.int64))
    episodes = []
    for at in range(60):
        alarms = [Alarm("map", 50.0 + at, 40.0, f"at {at}", 2, {})] if at in (10, 14, 40) else []
        _join(episodes, at, alarms, empty)
    assert [(e.since, e.raised, e.last, e.sections, e.sums.events) for e in episodes] == [
        (9, 10, 14, 2, 5), (39, 40, 40, 1, 1)]  # fmt: skip
    document = episodes[0].document([(1, k + 1) for k in range(60)])
    assert document["since"] == {"run": 1, "lumi": 10} and document["what"] == "at 14"


# the file


def test_a_reference_is_read_as_it_was_written(tmp_path, armed, pool):
    refs.save(tmp_path, armed)
    again = refs.load(tmp_path)
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    a, b = Monitor(armed).step(pool.section(rng, 500)), Monitor(again).step(pool.section(other, 500))
    assert a == b and again.thresholds == armed.thresholds and len(again.about["sha256"]) == 64


def test_a_reference_of_other_quantities_is_refused(tmp_path, armed, monkeypatch):
    refs.save(tmp_path, armed)
    other = replace(settings(), document={"version": 2})
    monkeypatch.setattr(refs, "settings", lambda: other)
    with pytest.raises(HashMismatch, match="settings_hash"):
        refs.load(tmp_path)
    write_hw_sample(tmp_path / "x.h5", np.zeros((1, 19, 3), np.int64))
    with pytest.raises(InputError, match="ad40 dqm reference"):
        refs.load(tmp_path / "x.h5")
