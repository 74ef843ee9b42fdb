"""Events for tests of the offline room: random ones, and ones written by hand."""

from __future__ import annotations

import numpy as np

from offline.objects.collection import COUNTS, TYPES, Objects, columns_of


def random_objects(n: int, seed: int = 1, counts: dict[str, int] | None = None) -> Objects:
    """Events with every multiplicity, pt up to several hundred GeV, |eta| up to 4, massive jets."""
    rng = np.random.default_rng(seed)
    lists = {}
    for name, slots in (counts or COUNTS).items():
        x = np.zeros((n, slots, 4), np.float32)
        x[..., 0] = -np.sort(-rng.exponential(90, (n, slots)) - 1, axis=1)
        x[..., 1] = rng.uniform(-4, 4, (n, slots))
        x[..., 2] = rng.uniform(-np.pi, np.pi, (n, slots))
        x[..., 3] = rng.exponential(9, (n, slots)) if "jet" in name else {"photon": 0.0}.get(name, 0.1)
        x[np.arange(slots) >= rng.integers(0, slots + 1, n)[:, None]] = 0
        lists[name] = x
    met = np.stack([rng.exponential(60, n), rng.uniform(-np.pi, np.pi, n)], axis=1).astype(np.float32)
    columns = columns_of(n, weight=rng.uniform(0.5, 2, n), process=rng.integers(0, 4, n))
    return Objects(**lists, met=met, columns=columns)


def by_hand(*events: dict[str, list[tuple[float, ...]]]) -> Objects:
    """One dictionary per event: type -> [(pt, eta, phi, mass), ...], shorter tuples end in zeros; "met": [(pt, phi)]."""
    n = len(events)
    lists = {name: np.zeros((n, slots, 4), np.float32) for name, slots in COUNTS.items()}
    met = np.zeros((n, 2), np.float32)
    for row, event in enumerate(events):
        for name, objects in event.items():
            for rank, values in enumerate(objects):
                if name == "met":
                    met[row, : len(values)] = values
                else:
                    lists[name][row, rank, : len(values)] = values
    return Objects(**{name: lists[name] for name in TYPES}, met=met, columns=columns_of(n))
