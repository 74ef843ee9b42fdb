"""Pythia 8 as this project uses it: settings, hooks that count and veto, and events as flat arrays."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ad40.errors import InputError, MissingTool
from training.generator.detector import Particles
from training.generator.tables import processes

BATCH = 200  # events per call: few enough to stop near the wanted number of tries


def require() -> Any:
    """The module pythia8mc, or an error that says how to install what generation needs."""
    try:
        import awkward  # noqa: F401
        import fastjet  # noqa: F401
        import pythia8mc
    except ImportError as error:
        raise MissingTool(str(error.name), "pip install pythia8mc==8.317.2 fastjet awkward") from error
    return pythia8mc


def versions() -> dict[str, str]:
    """Versions of the generator packages."""
    return {name: importlib.metadata.version(name) for name in ("pythia8mc", "fastjet", "awkward", "numpy")}


def make_pythia(lines: list[str], seed: int, hook: Any = None, source: str | Path = "processes.yaml") -> Any:
    """An initialised generator.

    Raises:
        InputError: Pythia rejects a line (named with its number) or cannot start with these settings.
    """
    pythia8mc = require()
    pythia = pythia8mc.Pythia("", False)
    _read(pythia, processes()["common"], "processes.yaml")
    _read(pythia, lines, source)
    for line in ("Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed % 900_000_000 or 1}"):
        pythia.readString(line)
    if hook is not None:
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        raise InputError(source, "settings", "; ".join(lines) or "empty", "settings that Pythia can start with")
    return pythia


def _read(pythia: Any, lines: list[str], source: str | Path) -> None:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and text[0].isalnum() and not pythia.readString(text):  # as Pythia, skip what starts otherwise
            raise InputError(source, f"line {number}", repr(text), "a setting that Pythia 8 knows")


def read_command_file(path: str | Path) -> list[str]:
    """Lines of a user's Pythia command file, each tried on a fresh generator before any work starts."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "file", str(error), "a readable Pythia command file") from error
    _read(require().Pythia("", False), lines, path)
    return lines


def make_hook(lepton_or_heavy_pt: float | None, heavy_only: bool = False) -> Any:
    """A UserHooks object that counts tries and vetoes before hadronisation.

    Attributes: `tries` so far and their `limit`; events `accepted` within it. An event beyond the limit is let
    through with `over` set, so that a batch can end; the caller drops it. `seen` and `kept` count these too.
    heavy_only: require b or c, also tested as the shower passes 2 GeV, which saves
    the rest of the shower (a higher scale would lose gluon splitting).
    """
    base = require().UserHooks
    wanted = frozenset((4, 5) if heavy_only else (4, 5, 11, 13, 15))

    class Hook(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self.tries, self.limit, self.over = 0, 1 << 62, False
            self.accepted = self.seen = self.kept = 0

        def canVetoProcessLevel(self) -> bool:
            return True

        def doVetoProcessLevel(self, event: Any) -> bool:
            self.seen += 1
            if self.tries >= self.limit:
                self.over = True
            else:
                self.tries += 1
            return False

        def _fails(self, event: Any) -> bool:
            if self.over or lepton_or_heavy_pt is None:
                return False
            for i in range(event.size() - 1, 0, -1):
                particle = event[i]
                if particle.idAbs() in wanted and particle.status() > 0 and particle.pT() > lepton_or_heavy_pt:
                    return False
            return True

        def canVetoPT(self) -> bool:
            return heavy_only

        def scaleVetoPT(self) -> float:
            return 2.0

        def doVetoPT(self, position: int, event: Any) -> bool:
            return self._fails(event)

        def canVetoPartonLevel(self) -> bool:
            return True

        def doVetoPartonLevel(self, event: Any) -> bool:
            fails = self._fails(event)
            self.kept += not fails
            self.accepted += not fails and not self.over
            return fails

    return Hook()


def batches(pythia: Any, hook: Any, tries: int) -> Iterator[tuple[Any, int]]:
    """Generate until exactly `tries` tries were made; yield awkward arrays of events and their number."""
    hook.limit = tries
    total = 0
    while hook.tries < tries:
        share = total / hook.tries if total else 1.0
        size = int(np.clip((tries - hook.tries) * share / 2, 1, BATCH))
        before = hook.accepted
        arrays = pythia.nextBatch(size)
        n = min(len(arrays), hook.accepted - before)
        total += n
        if n:
            yield arrays[:n], n


def flatten(pythia: Any, arrays: Any) -> Particles:
    """Final-state particles of an awkward array of events, as flat arrays ordered by event."""
    import awkward as ak

    particles = arrays.prt
    counts = ak.to_numpy(ak.num(particles.id))
    status = ak.to_numpy(ak.flatten(particles.status))
    final = np.flatnonzero(status > 0)
    pdg = ak.to_numpy(ak.flatten(particles.id))[final].astype(np.int64)
    px, py, pz, e = (ak.to_numpy(ak.flatten(particles.p[c]))[final] for c in ("px", "py", "pz", "e"))
    event = np.repeat(np.arange(len(counts)), counts)[final]
    return Particles(event, pdg, charges(pythia, pdg), px, py, pz, e)


def charges(pythia: Any, pdg: np.ndarray) -> np.ndarray:
    """Electric charge of each particle in units of e."""
    unique, inverse = np.unique(pdg, return_inverse=True)
    table = np.array([pythia.particleData.chargeType(int(code)) / 3 for code in unique])
    return np.asarray(table[inverse]) if len(unique) else np.zeros(0)
