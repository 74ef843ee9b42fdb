"""Checked access to a YAML or JSON document: every fault is reported with its path inside the document."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ad40.errors import SpecError


class Node:
    """One value of a document together with where it stands.

    >>> Node({"seeds": [{"threshold": -1}]}, "menu.yaml")["seeds"][0]["threshold"].integer(0, 10)
    Traceback (most recent call last):
    ad40.errors.SpecError: menu.yaml: seeds[0].threshold is -1; expected an integer from 0 to 10
    """

    def __init__(self, value: Any, file: str | Path, path: str = "") -> None:
        self.value, self.file, self.path = value, file, path

    def fault(self, expected: str) -> SpecError:
        """The error to raise about this value."""
        return SpecError(self.file, self.path or "document", repr(self.value), expected)

    def keys(self, required: set[str], optional: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Require a mapping with exactly these keys: a missing or an unknown one is refused by name."""
        if not isinstance(self.value, dict):
            raise self.fault("a mapping with the keys " + ", ".join(sorted(required)))
        for key in self.value:
            if key not in required | optional:
                raise SpecError(
                    self.file,
                    self._child(key),
                    "an unknown key",
                    "one of " + ", ".join(sorted(required | optional)),
                )
        for key in sorted(required):
            if key not in self.value:
                raise SpecError(self.file, self._child(key), "missing", "a value")

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def __getitem__(self, key: str | int) -> Node:
        return Node(self.value[key], self.file, self._child(key))

    def __iter__(self) -> Iterator[Node]:
        if not isinstance(self.value, list):
            raise self.fault("a list")
        return (self[i] for i in range(len(self.value)))

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and nodes of a mapping with names as keys."""
        if not isinstance(self.value, dict) or not all(isinstance(key, str) for key in self.value):
            raise self.fault("a mapping with names as keys")
        return ((key, self[key]) for key in self.value)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not low <= self.value <= high:
            raise self.fault(f"an integer from {low} to {high}")
        return self.value

    def number(self, low: float, high: float) -> float:
        """A finite number in [low, high]."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fault(f"a number from {low:g} to {high:g}")
        if not low <= value <= high:
            raise self.fault(f"a number from {low:g} to {high:g}")
        return float(value)

    def text(self) -> str:
        """A string that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self.fault("a text")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fault("true or false")
        return self.value

    def choice(self, options: tuple[str, ...]) -> str:
        """One of a few words."""
        if self.value not in options:
            raise self.fault("one of " + ", ".join(options))
        return str(self.value)

    def _child(self, key: object) -> str:
        if isinstance(key, int):
            return f"{self.path}[{key}]"
        return f"{self.path}.{key}" if self.path else str(key)
