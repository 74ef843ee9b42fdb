"""Toy jets for tests: a hard core with wide soft radiation (background), or two cores that make a mass (signal)."""

import numpy as np

from offline.jets.jets import Jets, check, starts_of


def toy_jets(events: int = 200, signal: int = 0, seed: int = 1, labelled: bool = True, jets_per_event: int = 2) -> Jets:
    """Jets of `events` events, the first `signal` of which are signal, in a random order."""
    random = np.random.default_rng(seed)
    is_signal = random.permutation(np.arange(events) < signal)
    constituents, jets = [], []
    for event in range(events):
        for which in range(jets_per_event):
            one, row = _jet(random, bool(is_signal[event]), 1500.0 - 200 * which)
            constituents.append(one)
            jets.append(row)
    n = len(jets)
    label = np.repeat(is_signal, jets_per_event).astype(np.int8) if labelled else np.full(n, -1, np.int8)
    return check(Jets(
        starts_of(np.array([len(c) for c in constituents])),
        np.concatenate(constituents).astype(np.float32),
        np.array(jets, np.float32),
        np.repeat(np.arange(events), jets_per_event).astype(np.int64),
        np.tile(np.arange(jets_per_event), events).astype(np.int8),
        label,
    ))  # fmt: skip


def _jet(random, signal: bool, scale: float):
    pt = scale * (1 + random.exponential(0.15))
    eta0, phi0 = random.normal(0, 0.8), random.uniform(-np.pi, np.pi)
    n = int(random.integers(8, 45))
    z = random.exponential(1.0, n) ** 2
    prong = np.zeros((n, 2))
    if signal:
        angle, apart = random.uniform(0, 2 * np.pi), random.uniform(0.35, 0.6)
        side = random.random(n) < 0.5
        prong = np.where(side[:, None], 0.5, -0.5) * apart * np.array([np.cos(angle), np.sin(angle)])
    width = random.uniform(0.02, 0.1)
    place = prong + random.standard_t(3, (n, 2)) * width
    place = place * np.minimum(1, 0.9 / np.maximum(np.hypot(*place.T), 1e-9))[:, None]
    pts = pt * z / z.sum()
    order = np.argsort(-pts)
    one = np.stack([pts, eta0 + place[:, 0], phi0 + place[:, 1]], axis=1)[order]
    one[:, 2] = np.remainder(one[:, 2] + np.pi, 2 * np.pi) - np.pi
    return one, _summary(one)


def _summary(c):
    px, py, pz = c[:, 0] * np.cos(c[:, 2]), c[:, 0] * np.sin(c[:, 2]), c[:, 0] * np.sinh(c[:, 1])
    e = np.sqrt(px**2 + py**2 + pz**2)
    x, y, z, t = (v.sum() for v in (px, py, pz, e))
    pt = np.hypot(x, y)
    mass = np.sqrt(max(t**2 - x**2 - y**2 - z**2, 0.0))
    eta, phi = np.arcsinh(z / pt), np.arctan2(y, x)
    tau, axes = [], [(eta, phi)]
    for k in range(3):
        if k:  # the hardest constituents that are apart
            axes = []
            for row in c:
                if all(_dr(row[1], row[2], *a) > 0.15 for a in axes):
                    axes.append((row[1], row[2]))
                if len(axes) == k + 1:
                    break
        away = np.min([_dr(c[:, 1], c[:, 2], *a) for a in axes], axis=0)
        tau.append(float((c[:, 0] * away).sum() / c[:, 0].sum()))
    return [pt, eta, phi, mass, *tau, 0.9 * mass, 0.95 * mass]


def _dr(eta, phi, eta0, phi0):
    return np.hypot(eta - eta0, np.remainder(phi - phi0 + np.pi, 2 * np.pi) - np.pi)
