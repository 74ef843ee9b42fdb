"""The likelihood of a signal on a smooth background as a pyhf document, and CLs limits from it by pyhf.

A HistFactory modifier that changes a shape (histosys) is linear in its parameter; the background function is the
exponential of something linear. The document therefore makes every bin a channel of its own, in which each
background parameter is a `normsys` that all channels share: its factor is hi^a for a > 0 and lo^-a for a < 0
(interpolation code 1), and with hi = exp(v), lo = exp(-v) that is exp(a v) at once, exactly the function of the fit.

A `normsys` has a normal constraint. A background fitted to the spectrum itself must not have it: its entries are in
the channels already. One unit of a free parameter is therefore many (up to `STEP`) standard deviations of the fit, so
that the constraint has 1 / STEP^2 of the weight of the entries; of a constrained one (prior 1) it is one.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.statistics.asymptotic import LimitError
from offline.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]

STEP = 1000.0
"""Standard deviations of the fit that one unit of a free background parameter stands for, at most."""

RANGE = 30.0
"""Standard deviations of the fit by which a background parameter can move: Minuit takes its first steps from this."""

LOG_LIMIT = 500.0
"""Factors of a document stay below exp of this: a badly measured direction takes smaller steps."""

TOLERANCES = (1e-3, 1e-2, 0.1)
"""Tolerances of Minuit, in this order until every minimisation of a limit succeeds; 0.1 is its default."""

POI = "signal"
CODE = {"normsys": {"interpcode": "code1"}, "histosys": {"interpcode": "code4p"}}
"""Interpolation codes that the document needs, for `pyhf.Workspace.model(modifier_settings=...)`."""


def workspace(likelihood: Likelihood, counts: Floats, unit: float, highest: float = 20.0) -> dict[str, Any]:
    """pyhf workspace (JSON document) of counts (B,). The parameter `signal` counts in `unit` events, up to `highest`.

    A background direction with prior 0 is free, with prior 1 constrained.
    """
    channels, observations = [], []
    furthest = np.max(np.abs(likelihood.directions), axis=0)
    steps = np.where(likelihood.prior > 0, 1.0, np.minimum(STEP, LOG_LIMIT / np.maximum(furthest, 1e-300)))
    for b, count in enumerate(counts):
        signal = float(likelihood.signal[b])
        background = [
            {"name": f"background_{j}", "type": "normsys", "data": {"hi": float(np.exp(v)), "lo": float(np.exp(-v))}}
            for j, v in enumerate(likelihood.directions[b] * steps)
        ]
        samples = [{"name": "background", "data": [float(likelihood.nominal[b])], "modifiers": background}]
        if signal > 0:
            modifiers: list[dict[str, Any]] = [{"name": POI, "type": "normfactor", "data": None}]
            if likelihood.k > 0:
                scale = {"hi": float(np.exp(likelihood.k)), "lo": float(np.exp(-likelihood.k))}
                modifiers.append({"name": "scale", "type": "normsys", "data": scale})
            samples.append({"name": "signal", "data": [unit * signal], "modifiers": modifiers})
            if likelihood.d > 0:
                shift = likelihood.d * signal
                data = {"hi_data": [shift], "lo_data": [-shift]}
                spurious = [{"name": "spurious", "type": "histosys", "data": data}]
                samples.append({"name": "spurious", "data": [0.0], "modifiers": spurious})
        channels.append({"name": f"bin_{b}", "samples": samples})
        observations.append({"name": f"bin_{b}", "data": [float(count)]})
    parameters = [{"name": POI, "inits": [0.5], "bounds": [[0.0, highest]]}]
    parameters += [
        {"name": f"background_{j}", "inits": [0.0], "bounds": [[-RANGE / step, RANGE / step]]}
        for j, step in enumerate(steps)
    ]
    measurement = {"name": "limit", "config": {"poi": POI, "parameters": parameters}}
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def upper_limit(
    likelihood: Likelihood, counts: Floats, unit: float, *, level: float = 0.95, rtol: float = 1e-4
) -> tuple[float, Floats]:
    """Observed and expected (5,) limits on the signal events by pyhf. unit: a number of events of the size of the
    limits, such as the expected one. Raises `LimitError` where pyhf fails."""
    import pyhf

    document = pyhf.Workspace(workspace(likelihood, counts, unit))
    model = document.model(modifier_settings=CODE)
    observed, expected = pyhf_limit(
        model, document.data(model), level=level, low=0.2, high=4.0, rtol=rtol, optimizer="minuit"
    )
    return unit * observed, unit * expected


def pyhf_limit(
    model: Any,
    data: list[float],
    *,
    level: float = 0.95,
    low: float = 0.0,
    high: float = 5.0,
    rtol: float = 1e-2,
    optimizer: str = "scipy",
) -> tuple[float, Floats]:
    """Observed and expected (5,) CLs limits of a pyhf model by `pyhf.infer.intervals.upper_limits.toms748_scan`.

    model: `pyhf.Model`; data: observations followed by `model.config.auxdata`; the other values are passed to pyhf
    (rtol: relative precision of the roots). optimizer: "scipy" (pyhf's default) or "minuit", which finds the minima
    of spectra with many entries more closely. pyhf's own backend is as before afterwards. Raises `LimitError` where
    pyhf fails.
    """
    import pyhf

    before = pyhf.get_backend()
    optimizers = [pyhf.optimize.scipy_optimizer()]
    if optimizer == "minuit":
        # MIGRAD can miss a close tolerance where a parameter is at its bound
        optimizers = [pyhf.optimize.minuit_optimizer(tolerance=tolerance) for tolerance in TOLERANCES]
    log = logging.getLogger("pyhf.optimize.mixins")
    was = log.disabled
    log.disabled = True  # it prints the trace of a failure; the exception says it too
    try:
        for chosen in optimizers:
            pyhf.set_backend("numpy", chosen)
            try:
                with np.errstate(over="ignore", invalid="ignore"):  # far trial points of the minimiser
                    scan = pyhf.infer.intervals.upper_limits.toms748_scan
                    observed, expected = scan(data, model, low, high, level=1.0 - level, rtol=rtol)
                return float(observed), np.array([float(e) for e in expected])
            except pyhf.exceptions.FailedMinimization:
                continue
            except (ValueError, RuntimeError) as error:
                raise LimitError(f"pyhf: {error}") from error
        raise LimitError("pyhf: a minimisation failed")
    finally:
        log.disabled = was
        pyhf.set_backend(*before)
