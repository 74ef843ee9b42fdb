"""The smooth scan of the threshold: kept in a folder, resumed, the same whoever makes it, one p-value for all."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ad40.errors import Ad40Error
from offline.statistics import scan as module
from offline.statistics.hunt import Hunt, hunt
from offline.statistics.pseudo import Shared
from offline.statistics.ranges import Axis, Settings
from offline.statistics.scan import curves, scan
from offline.statistics.world import World

WORLD = World(events=4000, masses=2, streams=1, keep=(1.0, 0.5, 0.25, 0.02, 0.0001))
PB = dict(zip(WORLD.region_names, (None, 10.0, 1.0, 0.1, 0.01), strict=True))
SETTINGS = Settings(function="p4", functions=((("stream0", "m1", "keep 1"), "p5"),))


@pytest.fixture(scope="module")
def shared() -> Shared:
    return WORLD.with_signal(60, 1200, 30).throw(np.random.default_rng(1))


def run(shared: Shared, work: Path, toys: int = 250, **more: object) -> Hunt:
    return scan(
        shared, WORLD.axes, WORLD.stream_names, WORLD.region_names, SETTINGS, toys=toys, seed=3, work=work, **more
    )


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("toys_*.npz")}


def test_the_scan_is_the_hunt_and_a_rerun_makes_only_what_is_missing(shared: Shared, tmp_path: Path) -> None:
    whole = hunt(shared, WORLD.axes, WORLD.stream_names, WORLD.region_names, SETTINGS, toys=250, seed=3)
    first = run(shared, tmp_path, jobs=2)
    np.testing.assert_array_equal(first.t, whole.t)
    assert [r.key for r in first.results] == [r.key for r in whole.results]
    assert [r.sideband_p for r in first.scanned] == [r.sideband_p for r in whole.scanned]
    made = times(tmp_path)
    assert len(made) == 3
    (tmp_path / "toys_00000100.npz").unlink()
    (tmp_path / "toys_00000200.npz").write_bytes(b"cut off")
    again = run(shared, tmp_path, jobs=1)
    np.testing.assert_array_equal(again.t, whole.t)
    assert times(tmp_path)["toys_00000000.npz"] == made["toys_00000000.npz"]
    # more of them: whole chunks are kept
    before = times(tmp_path)
    more = run(shared, tmp_path, toys=310)
    np.testing.assert_array_equal(more.t[:250], whole.t)
    after = times(tmp_path)
    assert [after[f"toys_{k:08}.npz"] == before[f"toys_{k:08}.npz"] for k in (0, 100, 200)] == [True, True, False]
    # another sample in the same folder does not take them
    other = run(WORLD.throw(np.random.default_rng(2)), tmp_path, toys=100)
    assert not np.array_equal(other.t, whole.t[:100])
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_scan_keeps_what_is_finished(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.throw

    def dying(prepared: module.Prepared, first: int, n: int, seed: int) -> module.Toys:
        if first == 200:
            time.sleep(0.5)
            raise OSError(28, "No space left on device")
        return real(prepared, first, n, seed)

    monkeypatch.setattr(module, "throw", dying)
    with pytest.raises(OSError, match="No space"):
        run(shared, tmp_path, jobs=2)
    assert sorted(times(tmp_path)) == ["toys_00000000.npz", "toys_00000100.npz"]
    monkeypatch.setattr(module, "throw", real)
    assert run(shared, tmp_path).toys == 250


def test_workers_of_a_cluster_give_the_same_numbers(shared: Shared, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra cluster)")
    here = run(shared, tmp_path / "here", toys=120)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as running:
        there = run(shared, tmp_path / "there", toys=120, where=running.scheduler_address)
    np.testing.assert_array_equal(here.t, there.t)
    assert curves(here, PB) == curves(there, PB)


def test_curves_say_everything_once(shared: Shared, tmp_path: Path) -> None:
    result = run(shared, tmp_path, toys=200)
    found = json.loads(json.dumps(curves(result, PB), allow_nan=False))
    assert found["spectra"] == 10 and found["scanned"] == len(result.scanned)
    assert found["scanned"] + sum(found["skipped"].values()) == 10 and sum(found["skipped"].values()) >= 2
    assert [row["mass"] for row in found["curves"]] == ["m0", "m1"]
    first = found["curves"][0]
    assert [point["cross_section_pb"] for point in first["thresholds"]] == list(PB.values())
    tightest = first["thresholds"][-1]
    assert tightest["local_p"] is None and "entries" in tightest["skipped"]
    # the look-elsewhere effect of the scan: the best of all thresholds is worth less than by itself
    alone = min(point["global_p"] for point in first["thresholds"] if point["global_p"])
    assert found["everything"]["p"] >= first["all_thresholds"]["p"] >= alone == 1 / 201
    assert found["everything"]["window"][0] < 1200 < found["everything"]["window"][1]
    assert found["everything"]["p"] == result.best().p


def test_bad_requests_are_refused(shared: Shared, tmp_path: Path) -> None:
    with pytest.raises(Ad40Error, match="pseudo-experiments is 0"):
        run(shared, tmp_path, toys=0)
    with pytest.raises(Ad40Error, match="axes"):
        scan(shared, [Axis("m", WORLD.edges)], ["a"], ["b"], work=tmp_path)
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(Ad40Error, match="cannot be written"):
            run(shared, tmp_path / "closed" / "work")
