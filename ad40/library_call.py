"""A model library from Python, through its C interface: the emulator of `ad40 library` without numpy's arithmetic.

>>> library = Library("build/cpp/lib/ad40_v1_1.0.so")  # doctest: +SKIP
>>> library.score(codes)  # doctest: +SKIP
array([1893,  411, ...], dtype=uint32)
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash

ABI = 1  # AD40_ABI of include/ad40/c_api.h
_TEXTS = ("model_name", "model_version", "network_hash", "menu_hash", "spec_hash")


class Library:
    """An open model library. Several may be open at once; calls hold no lock and no state.

    model_name, model_version, network_hash, menu_hash, spec_hash: what it holds. score_fraction: value =
    score * 2^-score_fraction. seeds: (name, threshold) of each bit.
    """

    model_name: str
    model_version: str
    network_hash: str
    menu_hash: str
    spec_hash: str

    def __init__(self, path: str | Path) -> None:
        """Open a library. Raises `InputError` when it is missing, has no .sha256 beside it or is no model library,
        and `HashMismatch` when the file is not the one that was built."""
        path = Path(path).resolve()
        _check_file(path)
        try:
            self._library = ctypes.CDLL(str(path))
            abi = int(self._library.ad40_abi())
        except (OSError, AttributeError) as error:
            raise InputError(path, "library", str(error), "a model library of `ad40 library`") from error
        if abi != ABI:
            raise InputError(path, "interface", abi, str(ABI))
        for name in _TEXTS:
            setattr(self, name, self._text(f"ad40_{name}"))
        self.score_fraction = int(self._library.ad40_score_fraction())
        self._library.ad40_seed_threshold.restype = ctypes.c_uint32
        self._library.ad40_seed_name.restype = ctypes.c_char_p
        self.seeds = tuple(
            (self._library.ad40_seed_name(bit).decode(), int(self._library.ad40_seed_threshold(bit)))
            for bit in range(self._library.ad40_seed_count())
        )
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._library.ad40_score_batch.argtypes = [pointer, size, pointer]
        self._library.ad40_score_words.argtypes = [pointer, size, pointer]
        self._library.ad40_seeds.argtypes = [pointer, pointer, size, pointer]

    def _text(self, function: str) -> str:
        call = self._library[function]
        call.restype = ctypes.c_char_p
        return str(call().decode())

    def score(self, codes: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Scores uint32 (n,) of hardware codes (n, 19, 3)."""
        if codes.shape[1:] != (objects.N_OBJECTS, objects.N_FEATURES):
            raise InputError("codes", "shape", codes.shape, "(events, 19, 3)")
        events = np.ascontiguousarray(codes, np.int32)
        scores = np.empty(len(events), np.uint32)
        self._library.ad40_score_batch(events.ctypes.data, len(events), scores.ctypes.data)
        return scores

    def score_words(self, words: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Scores uint32 (n,) of words on the links (n, 19)."""
        if words.shape[1:] != (objects.N_OBJECTS,):
            raise InputError("words", "shape", words.shape, "(events, 19)")
        events = np.ascontiguousarray(words, np.uint64)
        scores = np.empty(len(events), np.uint32)
        self._library.ad40_score_words(events.ctypes.data, len(events), scores.ctypes.data)
        return scores

    def seed_bits(self, scores: NDArray[np.integer], bx: NDArray[np.integer] | None = None) -> NDArray[np.uint32]:
        """Seed bits before prescale uint32 (n,) of scores (n,): with bunch crossings bx (n,) only where the menu
        lets a seed fire, without them by thresholds alone."""
        values = np.ascontiguousarray(scores, np.uint32)
        bits = np.empty(len(values), np.uint32)
        where = None
        if bx is not None:
            orbit = spec.latency().orbit_bx
            if bx.shape != values.shape or (len(bx) and (bx.min() < 0 or bx.max() >= orbit)):
                raise InputError("bx", "bunch crossings", f"{bx.shape}", f"{len(values)} from 0 to {orbit - 1}")
            crossings = np.ascontiguousarray(bx, np.uint16)
            where = crossings.ctypes.data
        self._library.ad40_seeds(values.ctypes.data, where, len(values), bits.ctypes.data)
        return bits


def _check_file(path: Path) -> None:
    """A damaged library would crash the process, so only the file that was built is opened."""
    beside = path.with_name(path.name + ".sha256")
    for file in (path, beside):
        if not file.is_file():
            raise InputError(file, "file", "missing", "a library of `ad40 library` with its .sha256")
    recorded = beside.read_bytes()[:64].decode("ascii", "replace")
    found = file_hash(path)
    if found != recorded:
        raise HashMismatch(path, "SHA-256", found, f"the recorded {recorded}")
