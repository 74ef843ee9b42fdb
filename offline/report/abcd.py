"""The section of the report on the background of the corner of two scores (`ad40 abcd`)."""

from __future__ import annotations

from typing import Any

from offline.abcd.page import about, closure_tables, glance, pair_table, signal_tables
from offline.report.page import Section, Table, Text
from offline.report.sections import Run, add_pictures


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section from an abcd.json."""
    section.blocks += [Text(text) for text in about(document)]
    section.blocks += [Table("At a glance", ("", ""), glance(document)), *closure_tables(document)]
    if document["contamination"]:
        section.blocks += signal_tables(document)
    if "pair" in document:
        section.blocks.append(pair_table(document["pair"]))
    add_pictures(section, run, document["plots"], run.folder / "abcd")
