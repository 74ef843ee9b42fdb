"""Events of each cluster in data against what simulation expects: p-values of each, and after the trials of all.

Expectation. Simulated events with weights w give a cluster B = sum w expected events with variance V = sum w^2: worth
n' = B^2 / V events of one weight (Bohm and Zech, Nucl. Instrum. Meth. A748 (2014) 1). The simulation is normalised to
the data of all other clusters (a cluster does not hide its own excess), or taken as it is. With the variance of the
normalisation and a relative systematic uncertainty the expectation m has the effective number n' = m^2 / var(m).

Local p-value of an excess. Given the data d, the rate in the cluster follows a gamma distribution with shape n' + 1 and
scale m / n' (flat prior), hence d a negative binomial distribution:

    p = P(N >= d) = I(1 / (1 + n'/m); d, n' + 1),

which for one weight is the conditional binomial test of two Poisson counts (Przyborowski and Wilenski, Biometrika 31
(1940) 313; Cousins, Linnemann, Tucker, Nucl. Instrum. Meth. A595 (2008) 480, where both are shown to agree), and never
claims too much. A cluster without simulated events expects one event of the mean weight at most (n' = 0).

Global p-value. Pseudo-experiments without any signal: in each cluster the counts of data and of simulation both vary,
around the common rate that fits them best, and everything is computed anew from them, the normalisation too. The
p-value of a cluster after the trials is the share of pseudo-experiments whose smallest p-value of any cluster is as
small, (k + 1) / (n + 1); where that is beyond what n tell, the bound of Bonferroni, K p, if it is smaller.

Valid where clusters do not know which event is data: given all events, and which process each is of, which of them are
data is then independent of what cluster they are in. `ad40 cluster calibrate` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import norm

from ad40.errors import InputError

POPULATED = 1.0  # events that simulation expects in a cluster, at least, for it to be populated
FLAG = float(norm.sf(3))
TOYS = 5_000
ENOUGH = 20
_AT_ONCE = 2_000
_CLOSEST, _MANY = 4, 100  # where all clusters have so many events, exact p-values are computed of the most significant
# by `likelihood` alone, which orders them in the same way

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """What is in K clusters. observed int64 (K,): data; expected float64 (K,): sum of the weights of simulation;
    variance (K,): sum of their squares; simulated int64 (K,): events of simulation."""

    observed: NDArray[np.int64]
    expected: Floats
    variance: Floats
    simulated: NDArray[np.int64]


@dataclass(frozen=True)
class Options:
    """normalised: to the data, else as the weights say; systematic: relative uncertainty of each expectation beside
    that of its statistics; toys: pseudo-experiments, ten times as many where fewer than
    `ENOUGH` of them are as extreme as the data and that could tell more."""

    normalised: bool = True
    systematic: float = 0.0
    toys: int = TOYS

    def __post_init__(self) -> None:
        if not 0 <= self.systematic < 1:
            raise InputError("command line", "--systematic", self.systematic, "a share from 0, below 1")
        if not 10 <= self.toys <= 10_000_000:
            raise InputError("command line", "--toys", self.toys, "from 10 to 10,000,000")


@dataclass(frozen=True, eq=False)
class Comparison:
    """K clusters compared. mean, error (K,): expectation and its uncertainty; local_p of an excess, deficit_p,
    global_p (K,); populated bool (K,); best: cluster of the smallest p; toys: how many were made."""

    counts: Counts
    mean: Floats
    error: Floats
    local_p: Floats
    deficit_p: Floats
    global_p: Floats
    populated: NDArray[np.bool_]
    best: int
    toys: int

    @property
    def flagged(self) -> list[int]:
        """Clusters with a global significance of 3 standard deviations, most significant first."""
        order = np.lexsort((self.local_p, self.global_p))
        return [int(k) for k in order if self.global_p[k] < FLAG]

    def row(self, k: int) -> dict[str, Any]:
        """Cluster k for JSON."""
        return {
            "cluster": int(k), "observed": int(self.counts.observed[k]), "expected": float(self.mean[k]),
            "expected_error": float(self.error[k]), "simulated": int(self.counts.simulated[k]),
            "populated": bool(self.populated[k]), "local_p": float(self.local_p[k]),
            "local_z": sigma(self.local_p[k]), "deficit_p": float(self.deficit_p[k]),
            "global_p": float(self.global_p[k]), "global_z": sigma(self.global_p[k]),
            "flagged": bool(self.global_p[k] < FLAG),
        }  # fmt: skip


def sigma(p: float) -> float:
    """Standard deviations of a one-sided p-value, at most 37 (p underflows)."""
    return float(norm.isf(np.clip(p, 1e-300, 1.0 - 1e-16)))


def count(
    cluster: NDArray[np.integer], number: int, data: NDArray[np.number], simulation: NDArray[np.number], weight: Floats
) -> Counts:
    """Counts of `number` clusters. cluster int (n,), -1 for none, which is counted as one more, the last; data and
    simulation (n,): how many copies of an event are in each; weight (n,): of one copy in simulation."""
    place = np.where(cluster < 0, number, cluster)
    size = number + 1 if (cluster < 0).any() else number
    many = simulation.astype(np.float64)
    sums = [np.bincount(place, w, minlength=size) for w in (data.astype(np.float64), many * weight, many * weight**2,
                                                            many)]  # fmt: skip
    return Counts(np.rint(sums[0]).astype(np.int64), sums[1], sums[2], np.rint(sums[3]).astype(np.int64))


def expectation(observed: Floats, expected: Floats, variance: Floats, options: Options) -> tuple[Floats, Floats]:
    """Expectation m and effective number n' of clusters, along the last axis: see the module."""
    b, v, d = (np.asarray(x, np.float64) for x in (expected, variance, observed))
    scale, relative = np.ones_like(b), np.full_like(b, options.systematic**2)
    if options.normalised:
        rest_d, rest_b, rest_v = (x.sum(axis=-1, keepdims=True) - x for x in (d, b, v))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where((rest_b > 0) & (rest_d > 0), rest_d / rest_b, 1.0)
            relative = relative + np.where((rest_b > 0) & (rest_d > 0), 1 / rest_d + rest_v / rest_b**2, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = relative + np.where(b > 0, v / b**2, np.inf)
        effective = np.where(np.isfinite(relative), 1 / np.maximum(relative, 1e-300), 0.0)
    return b * scale, effective


def rate(mean: Floats, effective: Floats, expected: Floats, variance: Floats) -> Floats:
    """n' / m of each cluster; where nothing was simulated one over the mean weight of all simulation."""
    total_b, total_v = (np.asarray(x).sum(axis=-1, keepdims=True) for x in (expected, variance))
    weight = np.where(total_b > 0, total_v / np.where(total_b > 0, total_b, 1), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(mean > 0, effective / mean, 1 / weight)
    return found


def p_excess(observed: Floats, effective: Floats, tau: Floats) -> Floats:
    """P(N >= d): see the module. tau: `rate`."""
    d = np.asarray(observed, np.float64)
    found: Floats = np.where(d > 0, betainc(np.maximum(d, 1), effective + 1, 1 / (1 + tau)), 1.0)
    return found


def p_deficit(observed: Floats, effective: Floats, tau: Floats) -> Floats:
    """P(N <= d), the conditional binomial test of a deficit; 1 where nothing was simulated."""
    d = np.asarray(observed, np.float64)
    found: Floats = np.where(effective > 0, betainc(np.maximum(effective, 1e-12), d + 1, tau / (1 + tau)), 1.0)
    return found


def likelihood(observed: Floats, effective: Floats, tau: Floats) -> Floats:
    """Signed root of the likelihood ratio of an excess (Li and Ma, Astrophys. J. 272 (1983) 317, eq. 17): quick, and
    where counts are large the significance."""
    d, both = np.asarray(observed, np.float64), observed + effective
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(d > 0, d * np.log(d * (1 + tau) / both), 0.0)
        b = np.where(effective > 0, effective * np.log(effective * (1 + tau) / (both * tau)), 0.0)
    return np.sign(d * tau - effective) * np.sqrt(2 * np.maximum(a + b, 0))


def smallest(observed: Floats, effective: Floats, tau: Floats) -> Floats:
    """The smallest `p_excess` of each row (toys, K): (toys,)."""
    k = min(_CLOSEST, observed.shape[1])
    if (observed + effective).min() < _MANY:
        lowest: Floats = p_excess(observed, effective, tau).min(axis=1)
        return lowest
    top = np.argpartition(-likelihood(observed, effective, tau), k - 1, axis=1)[:, :k]
    found: Floats = p_excess(*(np.take_along_axis(a, top, axis=1) for a in (observed, effective, tau))).min(axis=1)
    return found


def compare(counts: Counts, options: Options, random: np.random.Generator) -> Comparison:
    """Compare clusters with expectation. Raises `InputError` without data or simulation."""
    if not counts.observed.sum() or not counts.expected.sum() > 0:
        raise InputError("clusters", "events", f"{counts.observed.sum()} of data, {counts.simulated.sum()} simulated",
                         "some of both")  # fmt: skip
    d, b, v = counts.observed.astype(np.float64), counts.expected, counts.variance
    mean, effective = expectation(d, b, v, options)
    tau = rate(mean, effective, b, v)
    local = p_excess(d, effective, tau)
    lowest = _toys(counts, mean, options.toys, options, random)
    more = 9 * options.toys
    if np.count_nonzero(lowest <= local.min()) < ENOUGH and len(d) * local.min() > 1 / (options.toys + more):
        lowest = np.concatenate([lowest, _toys(counts, mean, more, options, random)])
    lowest.sort()
    below = np.searchsorted(lowest, local, side="right")
    overall = (below + 1) / (len(lowest) + 1)
    overall = np.minimum(overall, np.maximum(len(d) * local, 1e-300))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(effective > 0, mean / np.sqrt(effective), 1 / tau)
    return Comparison(counts, mean, error, local, p_deficit(d, effective, tau), np.minimum(overall, 1.0),
                      mean >= POPULATED, int(local.argmin()), len(lowest))  # fmt: skip


def _toys(counts: Counts, mean: Floats, toys: int, options: Options, random: np.random.Generator) -> Floats:
    """The smallest local p-value of each pseudo-experiment without signal, (toys,)."""
    d, b, v = counts.observed.astype(np.float64), counts.expected, counts.variance
    total_weight = v.sum() / b.sum()
    unit = np.where(b > 0, v / np.where(b > 0, b, 1), total_weight)  # weight of an effective event
    effective = b / unit
    scale = np.where(b > 0, mean / np.where(b > 0, b, 1), d.sum() / b.sum() if options.normalised else 1.0)
    tau = 1 / (unit * scale)
    common = (d + effective) / (1 + tau)  # the rate that fits data and simulation best
    shape = 1 / options.systematic**2 if options.systematic else 0.0
    found = []
    for start in range(0, toys, _AT_ONCE):
        size = (min(_AT_ONCE, toys - start), len(d))
        true = common * random.gamma(shape, 1 / shape, size) if shape else np.broadcast_to(common, size)
        data = random.poisson(true).astype(np.float64)
        simulated = random.poisson(np.broadcast_to(common * tau, size)) * unit
        m, n = expectation(data, simulated, simulated * unit, options)
        found.append(smallest(data, n, rate(m, n, simulated, simulated * unit)))
    return np.concatenate(found)
