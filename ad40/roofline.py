"""What the emulator does for an event, what this machine can do at most, and what other exact methods reach.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", Commun. ACM 52 (2009) 65. Peaks are
measured here, in the same run. Three of them bound the emulator: products of matrices, passes over arrays that lie in
the cache (rounding, clipping, comparing: one operation for each element), and traffic with memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import objects
from ad40.emulator import Emulator, Floats
from ad40.errors import CheckError
from ad40.network import Network, output_codes, score_codes

SIZE = 1024  # of the square matrices that measure the peak of products
PASS = 58368  # elements of an array that a pass goes over: 1,024 events x 57
MEMORY = 1 << 24  # float32 elements of the arrays that are copied: 64 MiB, more than caches hold
_NORMALISE, _LAYER, _SCORE = 9, 6, 4  # passes over the inputs, over the outputs of a layer, and for the score


def seconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Median duration of some repetitions, after one that warms up."""
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def work_per_event(network: Network) -> dict[str, int]:
    """flops: of the products (a multiplication and an addition a weight); passes: element operations besides; bytes:
    the codes (int32) that come from memory and the score that goes there."""
    emulator = Emulator(network)
    weights = [layer.weight for layer in emulator._scored_layers]
    inputs, outputs, scored = len(weights[0]), sum(w.shape[1] for w in weights), weights[-1].shape[1]
    return {
        "flops": sum(2 * w.size for w in weights),
        "nonzero_flops": sum(2 * int(np.count_nonzero(w)) for w in weights),
        "passes": _NORMALISE * inputs + _LAYER * outputs + _SCORE * scored,
        "bytes": 4 * objects.N_INPUTS + 4,
    }


def peaks() -> dict[str, float]:
    """Of one thread: flops/s of products in float32 and float64, elements/s of a pass in the cache, bytes/s of a copy
    (read and written)."""
    result: dict[str, float] = {}
    for kind in (np.float32, np.float64):
        a = np.ones((SIZE, SIZE), kind)
        out = np.empty_like(a)
        result[f"{kind.__name__}_flops"] = 2 * SIZE**3 / seconds(lambda a=a, out=out: np.matmul(a, a, out=out))  # type: ignore[misc]
    x = np.ones(PASS, np.float32)
    result["passes"] = 100 * PASS / seconds(lambda: [np.add(x, 1.0, out=x) for _ in range(100)])
    source, target = np.ones(MEMORY, np.float32), np.empty(MEMORY, np.float32)
    result["bytes"] = 2 * source.nbytes / seconds(lambda: np.copyto(target, source))
    return result


@dataclass(frozen=True, eq=False)
class _Sparse:
    """A layer that takes the products of the weights that are not zero only, an output after the other."""

    dense: Any

    def __call__(self, x: Floats) -> Floats:
        columns = np.ascontiguousarray(x.T, self.dense.weight.dtype)
        y = np.empty((self.dense.weight.shape[1], len(x)), columns.dtype)
        term = np.empty(len(x), columns.dtype)
        for j, (weights, bias) in enumerate(zip(self.dense.weight.T, self.dense.bias, strict=True)):
            y[j] = bias
            for i in np.flatnonzero(weights):
                np.multiply(columns[i], weights[i], out=term)
                y[j] += term
        result: Floats = self.dense.finish(np.ascontiguousarray(y.T))
        return result


def integer_score(network: Network, emulator: Emulator, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """hw_score (n,) with 64-bit integers throughout, as the definition of the network reads."""
    inputs = emulator.inputs(codes)
    return score_codes(network, inputs, output_codes(network, inputs), objects.present(codes))


def methods(network: Network) -> dict[str, Callable[[NDArray[np.int32]], NDArray[np.int32]]]:
    """Ways to the same scores, the emulator's own first."""
    chosen, double, sparse = Emulator(network), Emulator(network), Emulator(network)
    double._scored_layers = [
        replace(layer, weight=layer.weight.astype(np.float64), bias=layer.bias.astype(np.float64))
        for layer in double._scored_layers
    ]
    sparse._scored_layers = [_Sparse(layer) for layer in sparse._scored_layers]  # type: ignore[misc]
    kinds = sorted({str(layer.weight.dtype) for layer in chosen._scored_layers})
    return {
        f"BLAS in {' and '.join(kinds)} (the emulator)": chosen.score,
        "BLAS in float64": double.score,
        "weights that are not zero, float32": sparse.score,
        "numpy int64": lambda codes: integer_score(network, chosen, codes),
    }


def roofline(network: Network, codes: NDArray[np.int32], repeats: int = 9) -> dict[str, Any]:
    """Work, peaks, the bounds they set in ns an event, and what each method takes. Raises `CheckError` when two methods
    differ on an event of `codes`."""
    work, top = work_per_event(network), peaks()
    bounds = {
        "products_ns": 1e9 * work["flops"] / top["float32_flops"],
        "passes_ns": 1e9 * work["passes"] / top["passes"],
        "memory_ns": 1e9 * work["bytes"] / top["bytes"],
    }
    wanted: NDArray[np.int32] | None = None
    taken: dict[str, float] = {}
    for name, score in methods(network).items():
        found = score(codes)
        wanted = found if wanted is None else wanted
        if not np.array_equal(found, wanted):
            raise CheckError(f"{name} != emulator: {int((found != wanted).sum())}/{len(codes)}")
        taken[name] = 1e9 * seconds(lambda score=score: score(codes), repeats) / len(codes)  # type: ignore[misc]
    bound = sum(bounds.values())
    return {"per_event": work, "peaks": top, "bounds": bounds, "bound_ns": bound, "methods_ns": taken,
            "share_of_bound": bound / next(iter(taken.values()))}  # fmt: skip
