"""Offline event files of toy events, as `ad40 generate --offline` writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ad40.events import write_hw_sample
from ad40.offline_events import SHAPES, write_offline
from offline.objects.collection import TYPES, Objects


def write_file(
    path: Path, events: Objects, luminosity_pb: float | None = None, cross_section_pb: float | None = None
) -> Path:
    """An event file with these offline objects, its hardware events empty. luminosity_pb, cross_section_pb: what the
    generator would say of it."""
    attributes: dict[str, object] = {"sample": "toys"}
    if luminosity_pb is not None:
        attributes["luminosity_pb"] = luminosity_pb
    if cross_section_pb is not None:
        attributes["processes"] = {"toy": {"filtered_cross_section_pb": cross_section_pb}}
    columns = {name: events.columns[name] for name in ("run", "lumi")}
    write_hw_sample(path, np.zeros((len(events), 19, 3), np.int64), columns, attributes)
    arrays = {name: events[name] for name in TYPES} | {"met": events.met, "pileup": events.columns["pileup"]}
    with h5py.File(path, "r+") as file:
        write_offline(file, {name: arrays[name] for name in SHAPES}, {"working_point": "toy"})
    return path
