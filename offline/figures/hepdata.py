"""Figures as data, in the form of HEPData (hepdata-submission.readthedocs.io): one YAML file for each figure, and
submission.yaml that lists them.

A table has independent variables (bins or points) and dependent variables with qualifiers and errors; all of a table
have the same number of values. What has no value is written "-", as HEPData asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ad40.files import atomic_path

Number = float | int | str | None
Errors = Sequence[Any]  # symmetric: one number each; asymmetric: (minus, plus) each, both as positive distances


class _Fast(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Never writes anchors: every number stands where it belongs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True)
class Variable:
    """A column. values: numbers or words, or (low, high) of bins; errors: label -> one entry for each value;
    qualifiers: what holds for the column, units in brackets behind the name, left out where None."""

    name: str
    values: Sequence[Any]
    units: str = ""
    errors: Mapping[str, Errors] = field(default_factory=dict)
    qualifiers: Mapping[str, Number] = field(default_factory=dict)

    def document(self, independent: bool) -> dict[str, Any]:
        """The variable as HEPData writes it."""
        header = {"name": self.name} | ({"units": self.units} if self.units else {})
        values = [_value(v) for v in self.values]
        for i, value in enumerate(values):
            found = [_error(label, errors[i]) for label, errors in self.errors.items() if errors[i] is not None]
            if found:
                value["errors"] = found
        if independent:
            return {"header": header, "values": values}
        qualifiers = [_qualifier(name, v) for name, v in self.qualifiers.items() if v is not None]
        return {"header": header, "qualifiers": qualifiers, "values": values}


@dataclass(frozen=True)
class Table:
    """A figure as data. qualifiers hold for every dependent variable."""

    independent: Sequence[Variable]
    dependent: Sequence[Variable]
    qualifiers: Mapping[str, Number] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The table as HEPData writes it. Raises `ValueError` when columns differ in length."""
        lengths = {len(v.values) for v in (*self.independent, *self.dependent)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different length: {sorted(lengths)}")
        dependent = []
        for v in self.dependent:
            own = Variable(v.name, v.values, v.units, v.errors, {**self.qualifiers, **v.qualifiers})
            dependent.append(own.document(False))
        return {
            "independent_variables": [v.document(True) for v in self.independent],
            "dependent_variables": dependent,
        }


def bins(edges: Sequence[float]) -> list[tuple[float, float]]:
    """(low, high) of the bins between edges."""
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def dump(document: Any) -> str:
    """YAML text."""
    return str(yaml.dump(document, Dumper=_Fast, sort_keys=False, default_flow_style=None, width=110))


def write(path: Path, table: Table) -> str:
    """Write one table. Returns its text."""
    text = dump(table.document())
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def write_submission(path: Path, comment: str, entries: Sequence[Mapping[str, str]]) -> None:
    """Write submission.yaml: `comment` on the whole, and name, description and data_file of each table."""
    documents = [{"comment": comment}]
    for entry in entries:
        documents.append(
            {
                "name": entry["title"],
                "location": "Figure " + entry["name"],
                "description": entry["caption"],
                "keywords": [],  # type: ignore[dict-item]
                "data_file": Path(entry["data"]).name,
            }
        )
    with atomic_path(path) as temporary:
        temporary.write_text("---\n" + "---\n".join(dump(d) for d in documents), encoding="utf-8")


def _qualifier(name: str, value: Number) -> dict[str, Any]:
    """A qualifier; "window low [GeV]" has units."""
    plain, bracket, units = name.partition(" [")
    found = {"name": plain, "units": units.rstrip("]")} if bracket else {"name": name}
    return found | {"value": _number(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, tuple):
        return {"low": _number(value[0]), "high": _number(value[1])}
    return {"value": _number(value)}


def _error(label: str, error: Any) -> dict[str, Any]:
    if isinstance(error, tuple):
        return {"label": label, "asymerror": {"minus": -float(error[0]), "plus": float(error[1])}}
    return {"label": label, "symerror": float(error)}


def _number(value: Any) -> Any:
    if value is None:
        return "-"
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    if not math.isfinite(number):
        return "-"
    return int(number) if number.is_integer() and abs(number) < 2**53 else float(f"{number:.8g}")
