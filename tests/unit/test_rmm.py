"""The rapidity-mass matrix: against the reference library, by name, and what may not change it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40.errors import InputError
from offline.objects.collection import COUNTS, TYPES, Objects, columns_of
from offline.rmm import bench
from offline.rmm.layout import Layout
from offline.rmm.matrix import C, dense, matrices, sparse

SQRT_S = 13000.0
LAYOUT = Layout()


def objects(n: int, seed: int, counts: dict[str, int] | None = None, full: bool = False) -> Objects:
    """Random events, pt ordered; full: no slot is empty. Float64, so that exact properties can be asked of them."""
    rng = np.random.default_rng(seed)
    lists = {}
    for name, slots in (COUNTS if counts is None else counts).items():
        pt = -np.sort(-(30 + rng.exponential(100, (n, slots))), axis=1)
        eta, phi = rng.uniform(-2.4, 2.4, (n, slots)), rng.uniform(-np.pi, np.pi, (n, slots))
        lists[name] = np.stack([pt, eta, phi, rng.exponential(5, (n, slots))], axis=-1)
        if not full:
            lists[name][np.arange(slots) >= rng.integers(0, slots + 1, n)[:, None]] = 0
    met = np.stack([rng.exponential(60, n) * (rng.random(n) < 0.7), rng.uniform(-np.pi, np.pi, n)], axis=-1)
    return Objects(**lists, met=met, columns=columns_of(n))


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> tuple[Objects, np.ndarray]:
    """20 events and their matrices by the C++ library of arXiv:1805.11650."""
    with np.load(reference_data / "rmm_reference_20.npz", allow_pickle=False) as file:
        lists = {}
        for name, short in zip(TYPES, ("jet", "bjet", "mu", "el", "ph"), strict=True):
            px, py, pz, e = (file[f"{short}_{axis}"] for axis in ("px", "py", "pz", "e"))
            pt, here = np.hypot(px, py), e > 0
            eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=here))
            mass = np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0))
            lists[name] = np.stack([pt, eta, np.arctan2(py, px), mass], axis=-1) * here[..., None]
        met = np.stack([file["met_pt"], file["met_phi"]], axis=-1)
        assert float(file["sqrt_s"]) == SQRT_S and float(file["ang_norm"]) == np.float32(C)
        return Objects(**lists, met=met, columns=columns_of(len(met))), file["rmm36"]


def test_equals_the_reference_library(reference: tuple[Objects, np.ndarray]) -> None:
    found = matrices(reference[0], LAYOUT, SQRT_S)
    assert reference[0].jet.shape[1] > COUNTS["jet"], "the reference asks for truncation"
    assert (reference[1] < 0).any(), "negative imbalances are in it"
    np.testing.assert_allclose(found, reference[1], rtol=1e-6, atol=1e-9)
    assert np.array_equal(found == 0, reference[1] == 0), "absent objects"


def test_reference_in_float32(reference: tuple[Objects, np.ndarray]) -> None:
    """Objects as they are kept, in float32: their rounding and no more. A difference of rapidities or of ETs has that
    rounding relative to its terms, hence the absolute part."""
    single = Objects(**{name: reference[0][name].astype(np.float32) for name in TYPES},
                     met=reference[0].met.astype(np.float32), columns=reference[0].columns)  # fmt: skip
    np.testing.assert_allclose(matrices(single, LAYOUT, SQRT_S), reference[1], rtol=2e-6, atol=1e-6)


def test_other_configurations_hold_the_same_cells() -> None:
    events = objects(50, 3)
    small = Layout({"jet": 3, "muon": 2, "photon": 1})
    assert small.names == ("MET", "j1", "j2", "j3", "mu1", "mu2", "gamma1")
    few, many = matrices(events, small, SQRT_S), matrices(events, LAYOUT, SQRT_S)
    at = [LAYOUT.names.index(name) for name in small.names]
    assert np.array_equal(few, many[:, at][:, :, at])
    assert small.blinded == ("m(j1,j2)", "m(j1,mu1)", "m(j1,gamma1)")


def test_inputs_are_all_cells_but_nine_masses() -> None:
    assert LAYOUT.width == 36 and len(LAYOUT.inputs) == 1287 and len(LAYOUT.blinded) == 9
    hidden = sorted(set(range(36 * 36)) - set(LAYOUT.inputs.tolist()))
    assert [LAYOUT.name(*divmod(cell, 36)) for cell in hidden] == sorted(LAYOUT.blinded, key=LAYOUT.flat)
    assert LAYOUT.flat("h(j1,mu1)") in LAYOUT.inputs, "the rapidity partner of a blinded mass stays"


def test_cells_by_name() -> None:
    events = objects(1, 6, full=True)
    events.met[0] = 55.0, 1.0
    cells = matrices(events, LAYOUT, SQRT_S)[0]

    def vector(row: np.ndarray) -> np.ndarray:
        pt, eta, phi, mass = row
        p = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        return np.array([np.hypot(np.linalg.norm(p), mass), *p])

    j1, j2, mu1 = vector(events.jet[0, 0]), vector(events.jet[0, 1]), vector(events.muon[0, 0])
    both, (met, phi) = j1 + mu1, events.met[0]
    et = [v[0] * np.hypot(v[1], v[2]) / np.linalg.norm(v[1:]) for v in (j1, j2)]
    y = [np.arctanh(v[3] / v[0]) for v in (j1, mu1)]
    mt2 = (et[0] + met) ** 2 - (j1[1] + met * np.cos(phi)) ** 2 - (j1[2] + met * np.sin(phi)) ** 2
    expected = {
        "MET": met / SQRT_S,
        "mT(j1)": np.sqrt(mt2) / SQRT_S,
        "hL(j1)": 0.15 * (np.cosh(y[0]) - 1),
        "ET(j1)": et[0] / SQRT_S,
        "dET(j2)": (et[0] - et[1]) / (et[0] + et[1]),
        "m(j1,mu1)": np.sqrt(both[0] ** 2 - (both[1:] ** 2).sum()) / SQRT_S,
        "h(mu1,j1)": 0.15 * (np.cosh((y[0] - y[1]) / 2) - 1),
    }
    for name, value in expected.items():
        assert cells[LAYOUT.cell(name)] == pytest.approx(value, rel=1e-6), name


@given(st.lists(st.integers(0, 4), min_size=5, max_size=5).filter(any))
@settings(max_examples=20, deadline=None)
def test_names_round_trip(numbers: list[int]) -> None:
    layout = Layout(dict(zip(TYPES, numbers, strict=True)))
    names = [[layout.name(row, column) for column in range(layout.width)] for row in range(layout.width)]
    assert len({name for row in names for name in row}) == layout.width**2
    for row, column in np.ndindex(layout.width, layout.width):
        assert layout.cell(names[row][column]) == (row, column)
    assert set(layout.blinded) <= {name for row in names for name in row}
    assert len(layout.inputs) + len(layout.blinded) == layout.width**2


@pytest.mark.parametrize(
    "name", ["m(j1,j11)", "m(j1,j1)", "ET(j2)", "dET(j1)", "m(j1)", "hL(MET)", "", "j1", "m(j0,b1)"]
)
def test_unknown_cells_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cell"):
        LAYOUT.cell(name)


@given(st.integers(0, 2**31), st.floats(-7, 7))
@settings(max_examples=15, deadline=None)
def test_a_turned_event_is_the_same_event(seed: int, angle: float) -> None:
    events = objects(20, seed)
    turned = events.take(slice(None))
    for name in TYPES:
        turned[name][..., 2] += angle * (turned[name][..., 0] > 0)
    turned.met[:, 1] += angle
    before = matrices(objects(20, seed), LAYOUT, SQRT_S)
    np.testing.assert_allclose(matrices(turned, LAYOUT, SQRT_S), before, rtol=1e-5, atol=1e-9)


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_mirrored_events_and_permuted_angles(seed: int) -> None:
    """Forward and backward are alike. Angles dealt anew leave each object's own energy and rapidity where they were."""
    events = objects(20, seed)
    before = matrices(events, LAYOUT, SQRT_S)
    for name in TYPES:
        events[name][..., 1] *= -1
    np.testing.assert_allclose(matrices(events, LAYOUT, SQRT_S), before, rtol=1e-5, atol=1e-9)
    events.jet[..., 2] = np.random.default_rng(seed).permutation(events.jet[..., 2], axis=1)
    events.jet[events.jet[..., 0] == 0] = 0
    after = matrices(events, LAYOUT, SQRT_S)
    same = np.tril(np.ones((36, 36), bool))
    np.testing.assert_allclose(after[:, same], before[:, same], rtol=1e-5, atol=1e-9)
    assert not np.array_equal(after[:, ~same], before[:, ~same])


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_sparse_is_dense_and_absent_is_zero(seed: int) -> None:
    events = objects(30, seed)
    full, rows = matrices(events, LAYOUT, SQRT_S), sparse(events, LAYOUT, SQRT_S)
    assert (rows.values != 0).all() and (np.diff(rows.indptr) >= 0).all() and rows.indices.dtype == np.uint16
    assert np.array_equal(dense(rows, LAYOUT).reshape(full.shape), full)
    assert np.array_equal(dense(rows, LAYOUT, LAYOUT.inputs), full.reshape(30, -1)[:, LAYOUT.inputs])
    here = np.concatenate([np.ones((30, 1)), *((events[name][..., 0] > 0) for name in TYPES)], axis=1) > 0
    pair = here[:, :, None] & here[:, None, :]
    assert not full[~pair].any()
    no_met = events.met[:, 0] == 0
    assert not full[no_met, 0].any() and full[~no_met][:, 0, 0].all()


def test_collinear_pairs_keep_their_mass() -> None:
    """Two electrons in the same direction: the mass is the sum of theirs, where E^2 - p^2 would lose every digit."""
    lists = {name: np.zeros((1, slots, 4)) for name, slots in COUNTS.items()}
    lists["electron"][0, :2] = (1000.0, 2.0, 0.3, 0.000511)
    events = Objects(**lists, met=np.zeros((1, 2)), columns=columns_of(1))
    cells = matrices(events, LAYOUT, SQRT_S)[0]
    assert cells[LAYOUT.cell("m(e1,e2)")] * SQRT_S == pytest.approx(2 * 0.000511, rel=1e-5)
    assert cells[LAYOUT.cell("dET(e2)")] == 0 and cells[LAYOUT.cell("h(e1,e2)")] == 0


def test_cells_over_one() -> None:
    """Far forward objects exceed 1, and are not cut there."""
    lists = {name: np.zeros((1, slots, 4)) for name, slots in COUNTS.items()}
    lists["jet"][0, :2] = (50.0, 4.5, 0.3, 0.0), (40.0, -4.5, 0.3, 0.0)
    cells = matrices(Objects(**lists, met=np.zeros((1, 2)), columns=columns_of(1)), LAYOUT, SQRT_S)[0]
    for name, y in (("hL(j1)", 4.5), ("hL(j2)", 4.5), ("h(j1,j2)", 4.5)):
        assert cells[LAYOUT.cell(name)] == pytest.approx(0.15 * (np.cosh(y) - 1), rel=1e-6) and 0.15 * np.cosh(y) > 1


@pytest.mark.parametrize(
    "column, value, message",
    [(0, np.nan, "finite"), (1, np.inf, "finite"), (0, 1e9, "order"), (3, -1.0, "mass"), (1, 300.0, "eta")],
)
def test_faults_name_event_and_object(column: int, value: float, message: str) -> None:
    events = objects(10, 1, full=True)
    events.bjet[7, 2, column] = value
    for work in (matrices, sparse):
        with pytest.raises(InputError, match=f"event 7, b3.*{message}"):
            work(events, LAYOUT, SQRT_S)


def test_too_few_slots_and_bad_layouts_are_refused() -> None:
    with pytest.raises(InputError, match="jet"):
        matrices(objects(2, 1, dict(COUNTS) | {"jet": 4}), LAYOUT, SQRT_S)
    for counts in ({"jett": 3}, {"jet": 0}, {"jet": -1}, dict.fromkeys(TYPES, 60)):
        with pytest.raises(InputError):
            Layout(counts)
    for text in ("jet=ten", "tau=3", "jet"):
        with pytest.raises(InputError, match="--counts"):
            Layout.parse(text)
    assert Layout.parse("jet=4, photon=0").counts == dict(COUNTS) | {"jet": 4, "photon": 0}
    with pytest.raises(InputError, match="sqrt_s"):
        matrices(objects(2, 1), LAYOUT, 0.0)
    rows = sparse(objects(2, 1), LAYOUT, SQRT_S)
    for cells in ([1296], [-1], [3, 3]):
        with pytest.raises(InputError, match="cells"):
            dense(rows, LAYOUT, np.array(cells))


def test_bench_measures_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense events fill every slot, in both layouts; the speeds and the memory are numbers of this run."""
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "BLOCKS", 1)
    dense_events = bench.events(50, dict(COUNTS))
    assert all((dense_events[name][..., 0] > 0).all() for name in TYPES)
    cells = matrices(dense_events, LAYOUT, SQRT_S)
    assert (cells != 0).mean() > 0.999
    found = bench.measure(64)
    assert all(found[name] > 0 for name in ("dense_36", "dense_51", "typical_36", "table", "table_bytes_per_event"))
    assert found["dense_51_over_published"] == found["dense_51"] / 15_000
    assert list(found["table_peak_bytes"]) == ["64", "256"]
