"""The teacher: an unsupervised score of any cost, made of boosted trees, that small networks are distilled from.

It sees background and corruptions of it (`training.teach.families`), never a signal. For each family i one ensemble
of trees learns the logarithm of the likelihood ratio, log p_i/p_b = its log-odds up to a constant. The score is that
of the mixture of all families, log sum_i w_i p_i/p_b: no other score keeps more of a mixture at a given background
(Neyman, Pearson, Phil. Trans. R. Soc. A 231, 289 (1933)). The weights w are chosen so that no family is given up: the
least "TPR at FPR `FPR`, as a fraction of what the family's own trees reach" over the families is as large as
possible, on validation events.

`significance` is the score on the scale of -log10 of the background's p-value.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.errors import InputError
from ad40.files import atomic_path, file_hash, sha256_of
from ad40.metrics import tpr_at_fpr
from ad40.progress import Progress
from ad40.split import TRAIN, VALIDATION
from training.datasets import Background
from training.teach import corruptions, families, features
from training.teach.families import FAMILIES, corrupted
from training.teach.trees import boosted_trees

CACHE = Path("build/teachers")
EVENTS = 500_000  # of background at most, and as many of each family, that the trees are grown on
FPR = 1e-3  # where the weights balance the families, of a background of LEAST / FPR events or more
LEAST = 10  # events of the background that pass where the weights balance the families
TREES: dict[str, Any] = {"max_iter": 120, "learning_rate": 0.1, "max_leaf_nodes": 31, "l2_regularization": 1.0,
                         "early_stopping": False}  # fmt: skip
P_VALUES = (1.0, 0.5, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)  # knots of `significance`; a line goes on behind
EXPONENTS = -np.log10(P_VALUES)
SLOPE = 4
STEPS = 400  # of the search for the weights
_BLOCK = 50_000

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Teacher:
    """Trees of each family, log w of each, TPR at `FPR` that each family's own trees reach, and the background's
    quantiles of the score at `P_VALUES`."""

    families: tuple[str, ...]
    trees: tuple[Any, ...]
    log_weights: Reals
    limits: Reals
    fractions: Reals  # of the limits, that the score reaches
    knots: Reals

    def score(self, codes: NDArray[np.integer]) -> Reals:
        """log sum_i w_i p_i/p_b of events (n, 19, 3), up to a constant: (n,)."""
        return mixture(log_ratios(self.trees, codes), self.log_weights)

    def significance(self, score: Reals) -> Reals:
        """-log10 of the background p-value of scores (n,): between the knots, and beyond the last one, linear."""
        beyond = EXPONENTS[-1] + (score - self.knots[-1]) / self._step
        return np.where(score > self.knots[-1], beyond, np.interp(score, self.knots, EXPONENTS))

    def score_at(self, significance: Reals) -> Reals:
        """The inverse of `significance`."""
        beyond = self.knots[-1] + (significance - EXPONENTS[-1]) * self._step
        return np.where(significance > EXPONENTS[-1], beyond, np.interp(significance, EXPONENTS, self.knots))

    @property
    def _step(self) -> float:
        """Score for one unit of significance beyond the last knot, as over the last `SLOPE` knots."""
        return max(float((self.knots[-1] - self.knots[-SLOPE]) / (EXPONENTS[-1] - EXPONENTS[-SLOPE])), 1e-6)


def inputs_of(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """What the trees read of codes (n, 19, 3): physics quantities, and pt [GeV] of all objects. No eta, which `recoil`
    draws by itself: trees that read it know corruptions better that are families, and others worse."""
    return np.concatenate([features.features(codes), objects.decode(codes)[..., objects.PT]], axis=1)


def log_ratios(trees: Sequence[Any], codes: NDArray[np.integer]) -> Reals:
    """Log-odds (n, families) of events (n, 19, 3)."""
    found = np.empty((len(codes), len(trees)))
    for start in range(0, len(codes), _BLOCK):
        x = inputs_of(codes[start : start + _BLOCK])
        for i, one in enumerate(trees):
            found[start : start + _BLOCK, i] = one.decision_function(x)
    return found


def mixture(ratios: Reals, log_weights: Reals) -> Reals:
    """log sum_i w_i exp(ratios_i) of log-ratios (n, families): (n,)."""
    terms = ratios + log_weights
    most = terms.max(axis=1)
    return np.asarray(most + np.log(np.exp(terms - most[:, None]).sum(axis=1)), np.float64)


def balance(background: Reals, changed: Sequence[Reals], seed: int) -> tuple[Reals, Reals, Reals]:
    """Log-weights of the families, the TPR of each alone and the fractions of it that the mixture keeps: (families,).

    background: log-ratios (n, families) of background; changed: those of the events of each family. A random walk with
    shrinking steps maximises the least fraction; it depends on nothing but its arguments.
    """
    rng, n, fpr = np.random.default_rng(seed), len(changed), max(FPR, LEAST / len(background))
    limits = np.array([tpr_at_fpr(background[:, i], changed[i][:, i], fpr)[1] for i in range(n)])

    def fractions(weights: Reals) -> Reals:
        clean = mixture(background, weights)
        kept = np.array([tpr_at_fpr(clean, mixture(own, weights), fpr)[1] for own in changed])
        return np.divide(kept, limits, out=np.zeros(n), where=limits > 0)

    weights, step = np.zeros(n), 3.0
    best = fractions(weights)
    for _ in range(STEPS if n > 1 else 0):
        tried = weights + rng.normal(0.0, step, n) * (rng.random(n) < 0.6)
        tried -= tried[0]
        found = fractions(tried)
        if found.min() >= best.min():
            weights, best = tried, found
        else:
            step = max(step * 0.985, 0.1)
    return weights, limits, best


def fit(sample: Background, names: Sequence[str], seed: int) -> Teacher:
    """Grow the trees on the training part of a sample; weights and knots come from its validation part."""
    classifier, _ = boosted_trees()
    clean, held = sample.codes[sample.rows(TRAIN)[:EVENTS]], sample.codes[sample.rows(VALIDATION)[:EVENTS]]
    x, trees, others = inputs_of(clean), [], []
    with Progress(len(names) + 1, "teacher", "fits") as progress:
        for name in names:
            z = inputs_of(corrupted(clean, name, seed, len(clean)))
            one = classifier(random_state=seed, **TREES)
            trees.append(one.fit(np.concatenate([x, z]), np.repeat([0.0, 1.0], [len(x), len(z)])))
            others.append(corrupted(held, name, seed + 1))
            progress.update()
        background = log_ratios(trees, held)
        weights, limits, fractions = balance(background, [log_ratios(trees, own) for own in others], seed)
        progress.update()
    knots = np.quantile(mixture(background, weights), 1 - np.array(P_VALUES))
    return Teacher(tuple(names), tuple(trees), weights, limits, fractions, knots)


def check_families(names: Sequence[str]) -> None:
    """Refuse, with an `InputError`, families that there are not, none, or one twice."""
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or not names or len(set(names)) != len(names):
        raise InputError("model card", "training.families", list(names), f"different ones of {', '.join(FAMILIES)}")


def teacher(sample: Background, names: Sequence[str], seed: int, cache: Path = CACHE) -> Teacher:
    """The teacher of a sample and of some families, from the cache or fitted now and put there.

    Its file is named by a hash of everything that enters. It is a pickle, so that a cache of others must not be used.
    Raises `InputError` for a family that there is not.
    """
    check_families(names)
    _, version = boosted_trees()
    key = sha256_of({
        "background": sample.fingerprint, "families": list(names), "seed": seed, "scikit-learn": version,
        "code": [file_hash(code) for code in (__file__, families.__file__, corruptions.__file__, features.__file__)],
    })  # fmt: skip
    path = cache / f"{key[:16]}.pickle"
    if path.is_file():
        with path.open("rb") as file:
            found: Teacher = pickle.load(file)
        return found
    found = fit(sample, names, seed)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump(found, file)
    return found
