"""Does a background function describe a spectrum? The deviance of the fit against that of pseudo-experiments.

Each pseudo-experiment is thrown from the fitted background and fitted again, so that its deviance has lost as many
degrees of freedom as that of the data. p = (S + 1) / (n + 1), with S of n pseudo-experiments at least as badly
described as the data.

Where every bin expects many entries the deviance follows a chi-square distribution with (bins - parameters) degrees
of freedom (Baker and Cousins, Nucl. Instrum. Meth. 221 (1984) 437), and pseudo-experiments are not needed. A falling
spectrum ends in bins with few entries: there a bin contributes less or more than 1 on average (0.5 where 0.1 entries
are expected, 1.0 at 0.5, 1.15 at 1 to 2), and the chi-square p-value is given with `doubt`, the reason not to trust it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.fit import Mask, Model, NewtonFit

Floats = NDArray[np.float64]

ENOUGH = 5.0
SOME = 1.0
MOST = 0.8
"""The chi-square distribution is trusted where `MOST` of the bins expect `ENOUGH` entries and none less than `SOME`
(Cochran, Biometrics 10 (1954) 417)."""


@dataclass(frozen=True)
class Goodness:
    """Goodness of one fit.

    deviance; ndf: bins used less parameters; p_chi2: from the chi-square distribution, with the `doubt` about it in
    words ("" if there is none). p: from pseudo-experiments, NaN if there are none; not_converged: how many of them
    could not be fitted, which count as worse described than the data.
    """

    deviance: float
    ndf: int
    p_chi2: float
    doubt: str
    p: float
    pseudo_experiments: int
    not_converged: int

    @property
    def best_p(self) -> float:
        """p of the pseudo-experiments if there are any, of the chi-square distribution otherwise."""
        return self.p if self.pseudo_experiments else self.p_chi2


def goodness(
    model: Model,
    counts: ArrayLike,
    pseudo_experiments: int = 0,
    random: np.random.Generator | None = None,
    *,
    mask: Mask | None = None,
    fitted: NewtonFit | None = None,
    threads: int = 1,
) -> Goodness:
    """Goodness of the fit of one histogram (B,), over the bins in `mask` (B,).

    fitted: `fit.newton(model, counts, mask)`, if it is at hand. random: needed for pseudo-experiments.
    Raises `Ad40Error` where the fit does not converge.
    """
    n = np.asarray(counts, dtype=np.float64)
    fitted = fit.newton(model, n, mask) if fitted is None else fitted
    if not bool(fitted.converged):
        raise Ad40Error(f"the fit of {model.function.name} did not converge: it has no goodness")
    used = np.ones(len(n), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    value = float(fit.deviance(n, fitted.expected, used))
    ndf = int(np.count_nonzero(used)) - model.n_parameters
    p, failed = np.nan, 0
    if pseudo_experiments:
        if random is None:
            raise Ad40Error("pseudo-experiments need a random number generator")
        toys = random.poisson(fitted.expected, size=(pseudo_experiments, len(n))).astype(np.float64)
        refit = fit.newton(model, toys, used, start=fitted.coefficients, threads=threads)
        worse = (fit.deviance(toys, refit.expected, used) >= value) | ~refit.converged
        failed = int(np.count_nonzero(~refit.converged))
        p = (np.count_nonzero(worse) + 1) / (pseudo_experiments + 1)
    p_chi2 = float(chi2.sf(value, ndf)) if ndf > 0 else np.nan
    return Goodness(value, ndf, p_chi2, doubt(fitted.expected[used]), float(p), pseudo_experiments, failed)


def doubt(expected: Floats) -> str:
    """Why the deviance over bins with these expected counts (B,) would not follow a chi-square distribution, or ""."""
    few, tiny = int(np.count_nonzero(expected < ENOUGH)), int(np.count_nonzero(expected < SOME))
    if tiny:
        return f"{tiny} of {len(expected)} bins expect less than {SOME:g} entry"
    if few > (1 - MOST) * len(expected):
        return f"{few} of {len(expected)} bins expect less than {ENOUGH:g} entries"
    return ""
