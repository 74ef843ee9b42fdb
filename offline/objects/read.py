"""Open a file of events of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ad40 import hdf5, offline_events
from ad40.errors import InputError
from offline.objects import darkmachines
from offline.objects.darkmachines import DarkMachinesSource
from offline.objects.events import OfflineSource
from offline.objects.lhe import LheSource
from offline.objects.nanoaod import NanoAODSource, Options
from offline.objects.ntuple import NtupleSource
from offline.objects.record import RecordSource
from offline.objects.rootfile import open_root
from offline.objects.source import Source

KINDS = ("record", "offline", "lhe", "ntuple", "nanoaod", "darkmachines")


def kind_of(path: str | Path) -> str:
    """One of `KINDS`, by what the file holds. Raises `InputError` for anything else."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(path, "file", error.strerror or str(error), "a readable file") from error
    if start.startswith(b"\x89HDF"):
        with hdf5.open_file(path) as file:
            if hdf5.RECORD in file.attrs:
                return "record"
            if offline_events.GROUP in file:
                return "offline"
            names = ", ".join(file) or "nothing"
        raise InputError(path, "content", names, "a TriggerRecord, or offline objects (ad40 generate --offline)")
    if start.startswith(b"root"):
        with open_root(path) as file:
            for name, kind in ((NtupleSource.tree_name, "ntuple"), (NanoAODSource.tree_name, "nanoaod")):
                if name in file:
                    return kind
            names = ", ".join(file.keys(cycle=False)[:8]) or "nothing"
        raise InputError(path, "content", names, "a tree 'Ntuple' (ADFilter) or 'Events' (NanoAOD)")
    if start.startswith(b"\x1f\x8b") or b"<LesHouchesEvents" in start:
        return "lhe"
    if darkmachines.looks_like(start):
        return "darkmachines"
    raise InputError(path, "content", repr(start[:16]), "HDF5, ROOT, an LHE file or a CSV of Dark Machines")


def open_objects(
    path: str | Path,
    *,
    kind: str | None = None,
    events: str | Path | None = None,
    counts: Mapping[str, int] | None = None,
    nanoaod: Options | None = None,
) -> Source:
    """Open a file of events; `Source.blocks` gives its objects.

    kind: one of `KINDS`, by default what the file is. events: for a record, the offline event file that it was
    triggered from, to take its objects instead of the hardware's. counts: slots of each type, by default those of the
    published matrix. nanoaod: how to read a NanoAOD file.

    Raises:
        InputError: no such file, another kind, something missing in it, or an option that its kind does not have.
        HashMismatch: a record of other scales, or `events` that are not its source.
        MissingTool: uproot or pylhe is not installed.
    """
    found = kind_of(path)
    if kind is not None and kind not in KINDS:
        raise InputError(path, "kind", kind, "one of " + ", ".join(KINDS))
    if kind not in (None, found):
        raise InputError(path, "kind", found, f"{kind}, as asked for")
    if events is not None and found != "record":
        raise InputError(path, "events", f"given for a file of kind {found}", "only with a record")
    if nanoaod is not None and found != "nanoaod":
        raise InputError(path, "nanoaod", f"given for a file of kind {found}", "only with NanoAOD")
    if found == "record":
        return RecordSource(path, counts, events)
    if found == "nanoaod":
        return NanoAODSource(path, counts, nanoaod)
    plain: dict[str, type[OfflineSource | LheSource | NtupleSource | DarkMachinesSource]]
    plain = {"offline": OfflineSource, "lhe": LheSource, "ntuple": NtupleSource, "darkmachines": DarkMachinesSource}
    return plain[found](path, counts)
