"""The hunt over all spectra: fit ranges, bad input, planted bumps, and p-values of any set of spectra."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ad40.errors import Ad40Error
from offline.statistics import fit, irls
from offline.statistics import hunt as module
from offline.statistics.bumphunt import WIDTHS
from offline.statistics.hunt import Best, Hunt, Prepared, Scanned, Skipped, Toys, conclude, hunt, prepare, throw
from offline.statistics.pseudo import Shared, share
from offline.statistics.ranges import Axis, Settings, Unfit, first_bin, fit_in_range, less_biased, usable_widths
from offline.statistics.world import World

WORLD = World(events=6000, masses=2, keep=(1.0, 0.3))
NAMES = WORLD.stream_names, WORLD.region_names


def search(world: World, seed: int = 1, toys: int = 300, **more: Any) -> Hunt:
    shared = world.throw(np.random.default_rng(seed))
    return hunt(shared, world.axes, *NAMES, toys=toys, seed=seed, **more)


def test_background_alone_claims_nothing_and_every_number_is_there() -> None:
    result = search(WORLD)
    assert len(result.scanned) == 8 and result.skipped == [] and result.t.shape == (300, 8)
    best = result.best()
    assert best.leading is not None and best.p > 0.02 and not best.at_limit
    assert best.leading.best.t == max(float(r.best.t) for r in result.scanned)
    for r in result.scanned:
        assert 1 / 301 <= r.global_p <= 1 and 1 / 301 <= r.local_p_toys <= r.global_p
        assert 1 / 301 <= r.gof_p <= 1 and r.failed == 0 and r.described
        assert r.entries == r.counts.sum() == r.all_counts[r.start : r.start + len(r.counts)].sum()
    one = result.scanned[0]
    assert result.best(*one.key) == Best(one.global_p, one, False)
    # more spectra are more trials
    for r in result.scanned:
        assert result.best(region=r.region).p >= result.best(*r.key).p or result.best(region=r.region).leading != r


def test_a_planted_bump_is_found_where_it_is() -> None:
    result = search(WORLD.with_signal(70, 1200, 30), toys=200)
    best = result.best()
    assert best.leading is not None and best.at_limit and best.p == 1 / 201
    assert best.leading.key[:2] == ("stream0", "m0") and best.leading.window[0] < 1200 < best.leading.window[1]
    assert result.best(mass="m1").p > 0.02
    assert result.best(stream="nowhere") == Best(1.0, None, False)


def test_threads_and_chunks_change_nothing() -> None:
    shared = WORLD.throw(np.random.default_rng(2))
    whole = hunt(shared, WORLD.axes, *NAMES, toys=130, seed=5, threads=2)
    prepared = prepare(shared, WORLD.axes, *NAMES)
    parts = conclude(prepared, Toys.join([throw(prepared, 0, 50, 5), throw(prepared, 50, 80, 5)]))
    np.testing.assert_array_equal(whole.t, parts.t)
    assert [r.gof_p for r in whole.scanned] == [r.gof_p for r in parts.scanned]
    seen: list[int] = []
    hunt(shared, WORLD.axes, *NAMES, toys=130, seed=5, threads=1, progress=seen.append)
    assert sum(seen) == 130


def test_bad_spectra_are_skipped_with_the_reason_and_the_rest_goes_on() -> None:
    rng = np.random.default_rng(3)
    good = WORLD.throw(rng)
    n, edges = len(good.bins), WORLD.edges
    columns = np.full((n, 6), -1, dtype=np.int16)
    columns[:, 0] = good.bins[:, 0]
    columns[:, 1] = share(np.full((n, 1), np.nan), [edges]).bins[:, 0]  # no event has it
    columns[:, 2] = 7  # all in one bin
    columns[:30, 3] = rng.integers(5, 25, 30)  # few
    columns[:, 4] = rng.integers(20, 23, n)  # three bins
    columns[:, 5] = good.bins[:, 0]
    axes = [Axis(name, edges) for name in ("good", "nan", "line", "few", "peak", "short")]
    axes[5] = replace(axes[5], ceiling=700.0)  # a range of a few bins
    result = hunt(Shared(columns, good.streams, good.level), axes, *NAMES, toys=50)
    reasons = {r.key: r.reason for r in result.skipped}
    assert {r.axis.name for r in result.scanned} == {"good"} and len(result.scanned) == 4 and len(reasons) == 20
    for name, text in (
        ("nan", "no entries"),
        ("line", "one bin, "),
        ("few", "fewer than 50"),
        ("short", "too few for a window"),
    ):
        assert all(text in reason for key, reason in reasons.items() if key[1] == name)
    assert all(r for r in reasons.values())
    assert result.best().leading is not None
    nothing = hunt(Shared(columns[:, 1:2], good.streams, good.level), axes[1:2], *NAMES, toys=50)
    assert nothing.best() == Best(1.0, None, False) and len(nothing.skipped) == 4
    no_events = Shared(np.zeros((0, 1), np.int16), np.zeros(0, np.uint32), np.zeros(0, np.int16))
    assert len(hunt(no_events, axes[:1], toys=10).skipped) == 1
    with pytest.raises(Ad40Error, match="1 axes"):
        prepare(good, axes[:1])


def test_fits_that_fail_never_favour_a_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(WORLD.with_signal(70, 1200, 30).throw(np.random.default_rng(4)), WORLD.axes, *NAMES)
    good = throw(prepared, 0, 100, 1)
    real = fit.newton

    def failing(model: fit.Model, counts: np.ndarray, mask: np.ndarray | None = None, **more: Any) -> fit.NewtonFit:
        found = real(model, counts, mask, **more)
        bad = np.arange(len(np.atleast_2d(counts))) % 20 == 0  # one in twenty
        return replace(found, converged=found.converged & ~bad)

    monkeypatch.setattr(module.fit, "newton", failing)
    toys = throw(prepared, 0, 100, 1)
    assert (toys.failed == 5).all() and np.isinf(toys.t[::20]).all()
    assert (toys.total <= good.total).all() and (toys.sideband <= good.sideband).all()
    assert (toys.local >= good.local).all()
    # so many that no spectrum is searched
    result = conclude(prepared, toys)
    assert not result.scanned and "in 5 of 100 pseudo-experiments" in result.skipped[0].reason
    assert result.best().p == 1
    # few enough: they count against, in the spectrum and in every set that holds it
    one = conclude(prepared, replace(toys, failed=np.ones_like(toys.failed)))
    fine = conclude(prepared, good)
    assert one.best().p >= 6 / 101 > fine.best().p
    assert all(a.global_p >= b.global_p for a, b in zip(one.scanned, fine.scanned, strict=True))


def test_a_background_fit_that_does_not_converge_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_STEPS", 1)
    result = hunt(WORLD.throw(np.random.default_rng(5)), WORLD.axes, *NAMES, toys=10)
    assert {r.reason for r in result.skipped} == {"the background fit did not converge"} and len(result.skipped) == 8
    assert irls.solve  # the compiled kernel did stop: it is not replaced here


def test_spectra_that_the_function_cannot_describe_do_not_lead() -> None:
    shared = WORLD.throw(np.random.default_rng(6))
    prepared = prepare(shared, WORLD.axes, *NAMES)
    toys = throw(prepared, 0, 400, 1)
    worst = int(np.argmax([float(r.best.t) for r in prepared.scanned]))
    bad = replace(toys, sideband=np.where(np.arange(8) == worst, 0, toys.sideband))
    result = conclude(prepared, bad)
    assert not result.scanned[worst].described
    assert result.best().leading is not result.scanned[worst]
    assert result.best().p >= conclude(prepared, toys).best().p  # its trials stay


def test_the_fit_range_starts_past_the_turn_on_and_above_the_floor() -> None:
    mass = np.random.default_rng(7).lognormal(6.0, 0.5, 50_000)
    edges = np.geomspace(100, 8000, 80)
    counts = np.histogram(mass, edges)[0].astype(float)
    start = first_bin(counts, edges, 0.0)
    assert 400 < edges[start] < 700  # the maximum of the density is near 310 GeV
    assert edges[first_bin(counts, edges, 1000.0)] >= 1000
    bump = counts.copy()
    bump[np.searchsorted(edges, 1500.0)] += 400
    assert first_bin(bump, edges, 0.0) == start  # an excess on the falling part does not move it
    assert first_bin(counts, edges, 1e5) == len(counts)


def test_the_fit_range_ends_where_nothing_is_expected_not_at_the_last_event() -> None:
    axis = Axis("m", WORLD.edges)
    counts = np.random.default_rng(8).poisson(WORLD.expected()).astype(float)
    start, model, fitted = fit_in_range(counts, axis, "p5", Settings())
    end = start + len(model.offset)
    assert end > np.flatnonzero(counts)[-1] + 1
    tail = less_biased(model, counts[start:end], fitted).expected
    assert 0.5e-3 < tail[-1] < 2e-3 and fitted.expected[-1] < tail[-1]
    lower = fit_in_range(counts, Axis("m", WORLD.edges, floor=500, ceiling=2000), "p5", Settings())
    assert lower[1].edges[0] >= 500 and lower[1].edges[-1] <= 2000
    low_energy = fit_in_range(counts, axis, "p4", Settings(sqrt_s=5000.0))
    assert low_energy[1].edges[-1] < 5000 and low_energy[1].function.name == "p4"
    with pytest.raises(Unfit, match="entries in the fit range"):
        fit_in_range(counts, Axis("m", WORLD.edges, floor=8000), "p5", Settings())


def test_pseudo_experiments_are_thrown_from_a_fit_with_less_bias_in_the_tail() -> None:
    true, rng = replace(WORLD, events=1500.0).expected()[3:], np.random.default_rng(10)
    model, tail = fit.Model.on(WORLD.edges[3:]), slice(22, 40)
    ratios = []
    for _ in range(300):
        counts = rng.poisson(true).astype(float)
        fitted = fit.newton(model, counts)
        ratios.append([f.expected[tail].sum() / true[tail].sum() for f in (fitted, less_biased(model, counts, fitted))])
    plain, corrected = np.median(ratios, axis=0)
    assert plain < 0.85 and plain + 0.05 < corrected < 1.05
    # with many events there is no bias and no correction
    fitted = fit.newton(model, true * 1e6)
    np.testing.assert_allclose(less_biased(model, true * 1e6, fitted).expected, fitted.expected, rtol=0.02)


def test_windows_leave_bins_for_the_fit_around_them() -> None:
    assert usable_widths(60, 5, WIDTHS) == WIDTHS
    assert usable_widths(20, 5, WIDTHS) == (2, 3, 4)
    assert usable_widths(13, 5, WIDTHS) == ()


def test_functions_may_differ_between_spectra() -> None:
    settings = Settings(function="p4", functions=((("stream1", "m0", "keep 1"), "p3"),))
    prepared: Prepared = prepare(WORLD.throw(np.random.default_rng(9)), WORLD.axes, *NAMES, settings)
    used = {r.key: r.model.function.name for r in prepared.results if isinstance(r, Scanned)}
    assert used.pop(("stream1", "m0", "keep 1")) == "p3" and set(used.values()) == {"p4"}
    assert not any(isinstance(r, Skipped) for r in prepared.results)
