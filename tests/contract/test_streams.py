"""The generator's filter and the streams of the searches are the same requirement, written in two rooms."""

import numpy as np

from ad40.offline_events import COUNTS
from offline.objects.record import from_offline
from offline.objects.selection import SEVEN, Cuts, apply, select
from training.generator import streams


def test_the_generator_keeps_what_a_stream_selects() -> None:
    rng = np.random.default_rng(0)
    n = 5000
    arrays: dict[str, np.ndarray] = {
        "met": np.stack([rng.exponential(50, n), rng.uniform(-3, 3, n)], axis=1).astype(np.float32),
        "pileup": np.zeros(n, np.float32),
    }
    scale = {"jet": 130.0, "bjet": 40.0, "muon": 12.0, "electron": 12.0, "photon": 40.0}
    for name, slots in COUNTS.items():
        pt = -np.sort(-rng.exponential(scale[name], (n, slots)), axis=1)
        data = np.stack([pt, rng.uniform(-3, 3, pt.shape), rng.uniform(-3, 3, pt.shape), 0.1 * pt], axis=-1)
        data[np.arange(slots) >= rng.integers(0, slots + 1, (n, 1))] = 0
        arrays[name] = data.astype(np.float32)
    found = select(apply(from_offline(arrays, {}, 0), Cuts()), SEVEN)
    assert (found.sum(axis=0) > 20).all() and 0.1 < found.any(axis=1).mean() < 0.9
    assert np.array_equal(streams.passes(arrays), found.any(axis=1))
