"""The generated ad40_pkg.sv as text: its constants, and copies of it with other values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ad40.errors import InputError


def package_constants(text: str) -> dict[str, int]:
    """Constants of a generated ad40_pkg.sv; a table as one number, entry 0 in the lowest bits."""
    found: dict[str, int] = {}
    for name, value in re.findall(r"^ *localparam [^=;]*?(\w+) = ([^;]*);", text, re.M):
        number = 0
        for bits, digits in re.findall(r"(\d+)'h([0-9a-f]+)", value):
            number = number << int(bits) | int(digits, 16)
        found[name] = number if "'h" in value else int(value)
    return found


def overwrite(text: str, constants: Mapping[str, int], file: Path) -> str:
    """The package with other values. Raises `InputError` for a constant that it does not hold."""
    for name, value in constants.items():
        text, n = re.subn(rf"(localparam int {name} = )-?\d+;", rf"\g<1>{value};", text)
        if n != 1:
            raise InputError(file, name, f"found {n} times", "one integer constant")
    return text
