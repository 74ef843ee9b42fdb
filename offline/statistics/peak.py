"""A peak of free size, also a negative one, on a smooth background: what a function takes for a signal.

The fit of `offline.statistics.likelihood` with the function's parameters and the number of signal events free. The
error is that of HESSE with the Fisher information: the background's parameters are profiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import Ad40Error
from offline.statistics import fit
from offline.statistics.fit import Model
from offline.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peak:
    """Result of `fit_peak`, of T histograms.

    events (T,) and error (T,) of the signal; background (T, B) without the signal; gain (T,): twice the gain in
    ln L over no signal; response (T, B): change of `events` per entry more in each bin; converged (T,).
    """

    events: Floats
    error: Floats
    background: Floats
    gain: Floats
    response: Floats
    converged: NDArray[np.bool_]


def fit_peak(model: Model, counts: ArrayLike, signal: Floats, *, positive: bool = False) -> Peak:
    """Fit background and signal to histograms (T, B) or (B,), which are then T = 1.

    signal: (B,) part of the signal's events expected in each bin. positive: no signal rather than a negative one;
    otherwise a deficit may reach an empty bin, in which no expected count may be negative: such a fit has no minimum
    and is not converged. Raises `Ad40Error` where the fit without signal fails on the mean of all histograms.
    """
    n = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    if n.shape[1] != len(model.offset) or signal.shape != model.offset.shape:
        raise Ad40Error(
            f"histograms of shape {n.shape} and a signal of {signal.shape}; expected {len(model.offset)} bins"
        )
    if not (np.isfinite(signal).all() and (signal >= 0).all() and signal.any()):
        raise Ad40Error("the signal expects no events in this spectrum, or a negative number")
    mean = fit.newton(model, n.mean(axis=0))
    if not bool(mean.converged):
        raise Ad40Error(f"the fit of {model.function.name} without signal did not converge")
    directions = model.basis @ np.linalg.cholesky(fit.covariance(model, mean))
    k = model.n_parameters
    likelihood = Likelihood(mean.expected, directions, signal, np.zeros(k))
    zero = np.zeros(likelihood.size)
    null = likelihood.minimise(n, zero, zero, 0.0)
    phi, f, ok = null.phi.copy(), null.f.copy(), null.converged.copy()
    rows = null.slope < 0 if positive else np.ones(len(n), dtype=bool)
    if rows.any():
        found = likelihood.minimise(n[rows], zero, null.phi[rows], None, least=0.0 if positive else -np.inf)
        phi[rows], f[rows] = found.phi, found.f
        ok[rows] &= found.converged
    total, events = likelihood.expected(phi), phi[:, k]
    background = total - events[:, None] * signal
    # information of (background, signal) per bin: jacobian^T diag(1 / total) jacobian
    jacobian = np.concatenate(
        [background[..., None] * directions, np.broadcast_to(signal, n.shape)[..., None]], axis=-1
    )
    weighted = jacobian / np.maximum(total, 1e-300)[..., None]
    inverse = np.linalg.pinv(np.swapaxes(weighted, -1, -2) @ jacobian, hermitian=True)
    response = np.einsum("tbi,ti->tb", weighted, inverse[:, -1])
    return Peak(events, np.sqrt(inverse[:, -1, -1]), background, 2 * (null.f - f), response, ok)
