"""Tables that check the offline objects: response, efficiency and tags against generator truth (docs/events.md).

    python -m training.checks.objects search_ttbar qstar_gamma --tries 400
    python -m training.checks.objects --file data.h5

The first form makes events of these processes and holds what the detector gives against the generator's particles,
the second checks the tags of a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ad40.offline_events import read_offline
from training.generator import chunks, detector, generate, offline_objects, reconstruction
from training.generator.detector import Hits, Particles
from training.generator.pileup import vertices
from training.generator.pythia import batches, flatten, make_hook, make_pythia
from training.generator.tables import processes
from training.generator.truth import PHOTON, nearest, truth_of

PT_EDGES = (30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)
ETA_MAX = 2.4
SAME = 0.2  # dR of an object and its truth
FLAVOURS = {5: "b", 4: "c", 0: "light"}

Objects = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # event (rising), pt, eta, phi


def tag_rows(
    jet: np.ndarray, jet_flavour: np.ndarray, bjet: np.ndarray, bjet_flavour: np.ndarray
) -> Iterator[list[str]]:
    """Rows [flavour, pt range, jets, fraction tagged with its error, mean of the formula] of offline arrays."""
    data = np.concatenate([jet, bjet], axis=1)
    flavour = np.concatenate([jet_flavour, bjet_flavour], axis=1)
    tagged = np.broadcast_to(np.arange(data.shape[1]) >= jet.shape[1], flavour.shape)
    inside = (data[..., 0] > 0) & (np.abs(data[..., 1]) < ETA_MAX)
    for code, name in FLAVOURS.items():
        for low, high in pairwise(PT_EDGES):
            chosen = inside & (flavour == code) & (data[..., 0] > low) & (data[..., 0] <= high)
            n = int(chosen.sum())
            if n < 20:
                continue
            found = tagged[chosen].mean()
            expected = offline_objects.btag_probability(data[chosen][:, 0].astype(float), flavour[chosen]).mean()
            error = np.sqrt(expected * (1 - expected) / n)
            yield [name, f"{low:g}-{high:g}", f"{n:,}", f"{found:.4f} +- {error:.4f}", f"{expected:.4f}"]


def response_rows(name: str, truth: Objects, found: Objects) -> Iterator[list[str]]:
    """Rows [object, truth pt range, objects, efficiency, median response, resolution (half of the central 68 %)]."""
    index, distance = nearest(truth[0], truth[2], truth[3], (found[0], found[2], found[3]))
    matched = distance < SAME
    ratio = np.where(matched, np.r_[found[1], 0.0][index] / truth[1], np.nan)
    for low, high in pairwise(PT_EDGES):
        chosen = (truth[1] > low) & (truth[1] <= high) & (np.abs(truth[2]) < ETA_MAX)
        if (chosen & matched).sum() < 20:
            continue
        low_edge, middle, high_edge = np.percentile(ratio[chosen & matched], [15.87, 50, 84.13])
        efficiency, width = matched[chosen].mean(), (high_edge - low_edge) / 2 / middle
        yield [name, f"{low:g}-{high:g}", f"{chosen.sum():,}", f"{efficiency:.3f}", f"{middle:.3f}", f"{width:.3f}"]


def _flat(*lists: np.ndarray) -> Objects:
    """Objects of (n, slots, 4) arrays, ordered by event."""
    data = np.concatenate(lists, axis=1)
    event, slot = np.nonzero(data[..., 0] > 0)
    return event, *(data[event, slot, k].astype(float) for k in range(3))


def _of(p: Particles, chosen: np.ndarray) -> Objects:
    px, py, pz = (x[chosen] for x in (p.px, p.py, p.pz))
    pt = np.maximum(np.hypot(px, py), 1e-9)
    return p.event[chosen], pt, np.arcsinh(pz / pt), np.arctan2(py, px)


def compare(process: str, tries: int, work: Path, seed: int = 1) -> list[list[str]]:
    """Make events of a process (of its hardest slice), without a filter, and compare objects with their truth.

    Truth jets: anti-kt jets of all particles but neutrinos, leptons and prompt photons included; those within 0.4 of
    a lepton or photon above 10 GeV are left out. Truth leptons and photons: in no hadron's decay by their distance of
    0.4 from truth jets above 30 GeV other than their own.
    """
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    line = [process, "--events", "1", "--output", "none.h5", "--work", str(work), "--offline", "--filter", "streams"]
    job = generate.make_jobs(parser.parse_args(line))[0][0]
    rng, hook = np.random.default_rng(seed), make_hook(None)
    hardest = processes()["processes"][process].get("slices", [{"low": 0.0}])[-1]
    lines = [*job.settings, *processes()["fast"], f"PhaseSpace:pTHatMin = {hardest['low']}"]
    pythia = make_pythia(lines, seed, hook, job.source)
    sets: dict[str, list[tuple[Objects, Objects]]] = {name: [] for name in ("jet", "photon", "electron", "muon")}
    first = 0
    for arrays, n in batches(pythia, hook, tries):
        p, truth, z = flatten(pythia, arrays), truth_of(arrays), vertices(n, rng)
        hits, pileup = chunks._pool(tuple(job.pool_files)).overlay(
            z, job.pileup, processes()["pileup"]["fast_extra"], rng
        )
        seen = reconstruction.see(Hits.concatenate([detector.make_hits(p, z, rng), hits]), z, rng)
        found = offline_objects.find(seen, reconstruction.find_jets(seen.flow, n), pileup, truth, rng)
        for name, pair in _pairs(p, truth.take(truth.code == PHOTON), n, found).items():
            sets[name].append(tuple((side[0] + first, *side[1:]) for side in pair))  # type: ignore[arg-type]
        first += n
    rows = []
    for name, pairs in sets.items():
        truths, founds = ([np.concatenate(x) for x in zip(*side, strict=True)] for side in zip(*pairs, strict=True))
        rows += response_rows(f"{process}: {name}", (*truths,), (*founds,))  # type: ignore[arg-type]
    return rows


def _pairs(p: Particles, prompt: object, n: int, found: dict[str, np.ndarray]) -> dict[str, tuple[Objects, Objects]]:
    visible = ~np.isin(np.abs(p.pdg), (12, 14, 16))
    event, px, py, pz, _ = reconstruction.cluster(*(x[visible] for x in (p.event, p.px, p.py, p.pz, p.e)), n, 20.0)
    pt = np.hypot(px, py)
    jets: Objects = (event, pt, np.arcsinh(pz / pt), np.arctan2(py, px))
    truth = {
        name: _of(p, (np.abs(p.pdg) == code) & (np.hypot(p.px, p.py) > 10.0))
        for name, code in (("electron", 11), ("muon", 13))
    }
    truth["photon"] = (prompt.event, prompt.pt, prompt.eta, prompt.phi)  # type: ignore[attr-defined]
    light = np.ones(len(event), bool)
    for objects in truth.values():
        light &= nearest(jets[0], jets[2], jets[3], (objects[0], objects[2], objects[3]))[1] > 0.4
    pairs = {"jet": (tuple(x[light] for x in jets), _flat(found["jet"], found["bjet"]))}
    for name, objects in truth.items():
        index, _ = nearest(objects[0], objects[2], objects[3], (jets[0], jets[2], jets[3]))
        alone = (index >= 0) & (np.r_[jets[1], 0.0][index] < 1.1 * objects[1])
        pairs[name] = (tuple(x[alone] for x in objects), _flat(found[name]))
    return pairs  # type: ignore[return-value]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("process", nargs="*", help="processes to make and compare with truth")
    parser.add_argument("--tries", type=int, default=400, help="events of each process (default %(default)s)")
    parser.add_argument("--file", type=Path, help="offline event file whose tags to check")
    parser.add_argument("--work", type=Path, default=Path("build/generate"), help="folder with the pileup pool")
    args = parser.parse_args(argv)
    if args.file:
        names = ("jet", "jet_flavour", "bjet", "bjet_flavour")
        content = read_offline(args.file, names=names)
        _print(["flavour", "pt [GeV]", "jets", "tagged", "formula"], tag_rows(*(content[name] for name in names)))
    if args.process:
        rows = [row for process in args.process for row in compare(process, args.tries, args.work)]
        _print(["object", "truth pt [GeV]", "objects", "efficiency", "response", "resolution"], rows)


def _print(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> None:
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
