"""The sections of the report on flagged clusters and on a dedicated seed for them."""

from __future__ import annotations

from typing import Any

from offline.report.page import Code, Section, Table
from offline.report.sections import Run, add_pictures
from offline.seeds import seed_page, show_page

DISPLAYS = 2  # of each cluster; the page of the step has all


def fill_show(section: Section, run: Run, document: Any) -> None:
    """Fill the section from a show.json: what sets the clusters apart, and their first displays."""
    for one in document["clusters"]:
        section.blocks.append(show_page.table(one))
        names = {f"cluster{one['cluster']}_event{rank + 1}" for rank in range(DISPLAYS)}
        plots = [entry for entry in document["plots"] if entry["name"] in names]
        add_pictures(section, run, plots, run.folder / "show")


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section from a seed.json."""
    section.blocks.append(Table("At a glance", [], seed_page.glance(document)))
    section.blocks.append(Code("\n".join(document["model"]["rule"])))
    section.blocks += seed_page.tables(document)
    add_pictures(section, run, document["plots"], run.folder / "seed")
