"""Fixed-point numbers: the only quantiser of the project.

A `Fixed` holds integer codes; value = code * 2^-fraction. Rounding and overflow modes carry the names of the
ap_fixed types of high-level synthesis (AMD UG1399): TRN, RND, RND_CONV and WRAP, SAT.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ad40.errors import SpecError
from ad40.schema import Node

ROUNDING = ("TRN", "RND", "RND_CONV")
OVERFLOW = ("WRAP", "SAT")


@dataclass(frozen=True)
class Fixed:
    """A fixed-point format.

    signed: two's complement when true. integer: bits before the binary point, without the sign bit (may be
    negative). fraction: bits after it (may be negative). Values lie in [-2^integer, 2^integer) when signed,
    [0, 2^integer) otherwise. rounding: TRN towards minus infinity, RND half up, RND_CONV half to even.
    overflow: WRAP modulo 2^width, SAT to the nearest end.

    >>> Fixed(signed=True, integer=2, fraction=1).quantise([0.25, 0.75, 9.0]).tolist()
    [0, 2, 7]
    """

    signed: bool
    integer: int
    fraction: int
    rounding: str = "RND_CONV"
    overflow: str = "SAT"

    @property
    def width(self) -> int:
        """Bits of one code."""
        return int(self.signed) + self.integer + self.fraction

    @property
    def min_code(self) -> int:
        return -(1 << (self.integer + self.fraction)) if self.signed else 0

    @property
    def max_code(self) -> int:
        return (1 << (self.integer + self.fraction)) - 1

    @property
    def lsb(self) -> float:
        return float(2.0**-self.fraction)

    def quantise_codes(self, codes: ArrayLike, fraction: int) -> NDArray[np.int64]:
        """Bring integer codes with `fraction` fraction bits to this format, exactly. Any shape, int64."""
        x = np.asarray(codes, dtype=np.int64)
        shift = fraction - self.fraction
        if shift <= 0:
            x = x << -shift
        elif self.rounding == "TRN":
            x = x >> shift
        elif self.rounding == "RND":
            x = (x + (1 << (shift - 1))) >> shift
        else:  # half to even: add half minus one, plus one when the kept part is odd
            x = (x + ((1 << (shift - 1)) - 1) + ((x >> shift) & 1)) >> shift
        return self._overflow(x)

    def quantise(self, values: ArrayLike) -> NDArray[np.int64]:
        """Codes of real values (any shape, finite). Exact for doubles whose scaled value is below 2^52."""
        scaled = np.asarray(values, dtype=np.float64) * 2.0**self.fraction
        if self.rounding == "TRN":
            rounded = np.floor(scaled)
        elif self.rounding == "RND":
            rounded = np.floor(scaled + 0.5)
        else:
            rounded = np.rint(scaled)
        if self.overflow == "SAT":  # before the cast: a double beyond int64 must not wrap
            rounded = np.clip(rounded, self.min_code, self.max_code)
        return self._overflow(rounded.astype(np.int64))

    def dequantise(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Real values of codes."""
        return np.asarray(codes, dtype=np.float64) * self.lsb

    def _overflow(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.overflow == "SAT":
            return np.clip(x, self.min_code, self.max_code)
        span = 1 << self.width
        return (x - self.min_code) % span + self.min_code

    def to_dict(self) -> dict[str, Any]:
        """The document form, read back by `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: object, file: str | Path, path: str) -> Fixed:
        """Read a format from a document; `SpecError` names the path of a fault."""
        return cls.from_node(Node(document, file, path))

    @classmethod
    def from_node(cls, node: Node) -> Fixed:
        """Read a format from a document node: keys signed, integer, fraction, and optional rounding, overflow."""
        node.keys({"signed", "integer", "fraction"}, optional={"rounding", "overflow"})
        fixed = cls(
            signed=node["signed"].boolean(),
            integer=node["integer"].integer(-64, 64),
            fraction=node["fraction"].integer(-64, 64),
            rounding=node["rounding"].choice(ROUNDING) if "rounding" in node else "RND_CONV",
            overflow=node["overflow"].choice(OVERFLOW) if "overflow" in node else "SAT",
        )
        if not 1 <= fixed.width <= 62 or fixed.integer + fixed.fraction < 1:
            raise SpecError(node.file, node.path, f"{fixed.width} bits", "a width of 1 to 62 bits")
        return fixed
