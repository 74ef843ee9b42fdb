"""Toy dijet events for tests of the search without labels: a falling spectrum, jet masses that grow with it, a
resonance of two heavy jets."""

import numpy as np

from offline.jets.dijets import SETS, Dijets


def toy_dijets(background: int, signal: int = 0, seed: int = 1, features: str = "masses") -> Dijets:
    """background events of dijet masses from 2.5 TeV on, and signal events at 3.5 TeV (width 3 %) with jets of 100 and
    500 GeV (width 10 %)."""
    random = np.random.default_rng([seed, 77])
    # (1-x)^p2 x^-p3 by rejection from a power law
    mjj = np.empty(0)
    while len(mjj) < background:
        m = 2500.0 * random.random(2 * background) ** (-1 / 4.0)
        m = m[(m < 12000) & (random.random(len(m)) < (1 - np.minimum(m, 12999.0) / 13000) ** 6)]
        mjj = np.concatenate([mjj, m])
    mjj = mjj[:background]
    # m / mjj falls and hardly depends on mjj: the masses grow with the dijet mass, as those of QCD jets do
    part = random.gamma(2.0, 0.022, (background, 2)) * (mjj[:, None] / 3000) ** -0.3
    masses = mjj[:, None] * np.minimum(part, 0.3)
    light, heavy = 100 * (1 + 0.1 * random.standard_normal(signal)), 500 * (1 + 0.1 * random.standard_normal(signal))
    swap = random.random(signal) < 0.5
    pairs = np.where(swap[:, None], np.stack([light, heavy], 1), np.stack([heavy, light], 1))
    mass = np.concatenate([mjj, 3500 * (1 + 0.03 * random.standard_normal(signal))])
    both = np.concatenate([masses, pairs])
    label = np.concatenate([np.zeros(background), np.ones(signal)]).astype(np.int8)
    if features == "masses":
        x = both
    else:
        tau = np.where(label[:, None] == 1, random.beta(4, 8, (len(mass), 2)), random.beta(8, 5, (len(mass), 2)))
        x = np.stack([both.min(1), both.max(1) - both.min(1), tau[:, 0], tau[:, 1]], axis=1)
    order = random.permutation(len(mass))
    n = len(mass)
    return Dijets(mass[order], x[order], SETS[features], np.arange(n), label[order],
                  np.stack([2 * np.arange(n), 2 * np.arange(n) + 1], axis=1))  # fmt: skip
