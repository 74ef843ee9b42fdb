"""The section of the report on clusters of triggered events."""

from __future__ import annotations

from typing import Any

from offline.clusters.compare_page import content, overview, table
from offline.report.page import Section, Table
from offline.report.sections import Run, add_pictures


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section from a cluster.json."""
    section.blocks.append(Table("At a glance", [], overview(document)))
    section.blocks.append(table(document))
    section.blocks.append(content(document))
    add_pictures(section, run, document.get("plots", []), run.folder / "cluster")
