"""Generated events against what is known of the published ones: tables and plots (docs/events.md).

    python -m training.checks.published training/sample --plots build/checks
    python -m training.checks.published training/benchmark --plots docs/plots --page docs/events.md

Reads the integers of a sample folder, so that it checks what ships. References stand in `published.yaml`. Errors are
statistical, 68 %, and count families of correlated events.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.events import open_events
from ad40.files import read_yaml, writable_folder
from ad40.metrics import auc, correlation
from ad40.objects import decode, present
from training.datasets import load_background, load_signal, signal_names
from training.evaluate import baselines
from training.generator.tables import processes
from training.page import check_section, table, write_section, written_by

VERB = "python -m training.checks.published"
REFERENCES = Path(__file__).with_name("published.yaml")
KINDS = ("egamma", "muon", "jet")
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sample:
    """Events of one kind: codes (n, 19, 3), families (n,), and the generator's figures of their process."""

    name: str
    codes: NDArray[np.int16]
    parent: NDArray[np.int64]
    figures: dict[str, float]

    @cached_property
    def physical(self) -> NDArray[np.float32]:
        """pt [GeV], eta, phi [rad] of the 19 objects, float32 (n, 19, 3)."""
        return decode(self.codes)

    def objects(self, kind: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, slots, 3) of one kind of object, and which of them are there."""
        slots = spec.objects()[kind].slots
        return self.physical[:, slots], present(self.codes)[:, slots]

    @cached_property
    def leptons(self) -> NDArray[np.float32]:
        """Electrons and muons (n, 8, 3), by falling pt; zeros where there is none."""
        both = np.concatenate([self.physical[:, spec.objects()[kind].slots] for kind in ("egamma", "muon")], axis=1)
        order = np.argsort(-both[..., 0], axis=1, kind="stable")
        return np.take_along_axis(both, order[..., None], axis=1)

    @cached_property
    def event(self) -> dict[str, Floats]:
        """One value per event: multiplicities, sums and the leading lepton, pt in GeV."""
        simple = {name: values * spec.objects()["jet"].pt.lsb for name, values in baselines(self.codes).items()}
        counts = {f"{kind}s": self.objects(kind)[1].sum(axis=1) for kind in KINDS}
        return {**counts, **simple}

    def mean(self, values: Floats) -> tuple[float, float]:
        """Mean of values (n,) and its error by families."""
        residual = np.bincount(np.unique(self.parent, return_inverse=True)[1], weights=values - values.mean())
        return float(values.mean()), float(np.sqrt((residual**2).sum()) / len(values))

    def median(self, values: Floats) -> tuple[float, float]:
        """Median of values and half of the range that holds it with 68 %, the values taken as independent."""
        half = 0.5 / np.sqrt(max(len(values), 1))
        low, high = np.quantile(values, [max(0.5 - half, 0), min(0.5 + half, 1)])
        return float(np.median(values)), float(high - low) / 2


def read(folder: Path, limit: int | None = None) -> dict[str, Sample]:
    """The processes of the background and the signals of a sample folder, by name."""
    background = load_background(folder, limit)
    found = {}
    for process in background.processes:
        mine = background.process == process.code
        if mine.any():
            figures = {"cross_section_pb": process.cross_section_pb, "filter_efficiency": process.filter_efficiency}
            found[process.name] = Sample(process.name, background.codes[mine], background.parent[mine], figures)
    for name in signal_names(folder):
        codes = load_signal(folder, name, limit)
        with open_events(folder / f"{name}.h5") as events:
            figures = next(iter(events.attributes["processes"].values()))
            found[name] = Sample(name, codes, events.column("parent", 0, len(codes)).astype(np.int64), figures)
    return found


def mass(a: Floats, b: Floats) -> Floats:
    """Invariant mass [GeV] of pairs of massless objects (n, 3) of pt, eta, phi."""
    squared = 2 * a[:, 0] * b[:, 0] * (np.cosh(a[:, 1] - b[:, 1]) - np.cos(a[:, 2] - b[:, 2]))
    return np.sqrt(np.maximum(squared, 0))


def dilepton_masses(sample: Sample, kind: str) -> Floats:
    """Masses of the two leading electrons (or muons) of the events that have two."""
    objects, here = sample.objects(kind)
    pairs = objects[here[:, 1]]
    return mass(pairs[:, 0], pairs[:, 1])


def four_lepton_masses(sample: Sample) -> Floats:
    """Masses of the four leading leptons of the events that have four."""
    four = sample.leptons[sample.leptons[:, 3, 0] > 0][:, :4]
    pairs = [mass(four[:, i], four[:, j]) ** 2 for i in range(4) for j in range(i)]
    return np.sqrt(np.sum(pairs, axis=0))


def transverse_masses(sample: Sample) -> Floats:
    """Transverse mass [GeV] of the leading lepton and the missing momentum, (n,)."""
    met, lepton = sample.physical[:, 0], sample.leptons[:, 0]
    return np.sqrt(2 * met[:, 0] * lepton[:, 0] * (1 - np.cos(met[:, 2] - lepton[:, 2])))


def jets_apart(sample: Sample, distance: float = 0.4) -> Floats:
    """Number of jets that are further than that from every electron and muon, (n,)."""
    jets, here = sample.objects("jet")
    for i in range(sample.leptons.shape[1]):
        lepton = sample.leptons[:, i : i + 1]
        turn = np.abs((jets[..., 2] - lepton[..., 2] + np.pi) % (2 * np.pi) - np.pi)
        here = here & ~((np.hypot(jets[..., 1] - lepton[..., 1], turn) < distance) & (lepton[..., 0] > 0))
    return here.sum(axis=1)


def range_rows(samples: dict[str, Sample], published: dict[str, Any]) -> Iterator[list[object]]:
    """[statement about the published files, events or objects looked at, those that violate it]."""
    everything = list(samples.values())
    for kind in KINDS:
        limits, scale = published["objects"][kind], spec.objects()[kind]
        looked, low, wide, order = 0, 0, 0, 0
        lsb_eta = scale.eta.lsb if scale.eta is not None else 0.0
        for sample in everything:
            objects, here = sample.objects(kind)
            looked += int(here.sum())
            # half a step for the rounding to integers
            low += int((here & (objects[..., 0] < limits["pt_min"] - scale.pt.lsb / 2)).sum())
            wide += int((here & (np.abs(objects[..., 1]) > limits["abs_eta_max"] + lsb_eta / 2)).sum())
            order += int((objects[:, 1:, 0] > objects[:, :-1, 0]).sum())
        yield [f"{kind}: pt of at least {limits['pt_min']:g} GeV", f"{looked:,}", low]
        yield [f"{kind}: abs(eta) of at most {limits['abs_eta_max']:g}", f"{looked:,}", wide]
        yield [f"{kind}: by falling pt, no holes", f"{looked:,}", order]
    leading = np.concatenate([s.leptons[:, 0, 0] for s in everything])
    threshold = published["lepton_pt_min"]
    failing = int((leading < threshold - spec.objects()["muon"].pt.lsb / 2).sum())
    yield [f"event: an electron or muon of {threshold:g} GeV", f"{len(leading):,}", failing]


def mix_rows(samples: dict[str, Sample]) -> Iterator[list[object]]:
    """[process, its share, published share, natural share at leading order]."""
    mix = {name: share for name, share in processes()["mix"].items() if name in samples}
    total = sum(len(samples[name].codes) for name in mix)
    filtered = {n: samples[n].figures["cross_section_pb"] * samples[n].figures["filter_efficiency"] for n in mix}
    for name, share in mix.items():
        natural = filtered[name] / sum(filtered.values())
        events = len(samples[name].codes)
        independent = events / correlation(samples[name].parent)
        yield [name, f"{events:,}", f"{independent:,.0f}", f"{events / total:.4f}", f"{share:.3f}", f"{natural:.3f}"]


def recipe_rows(samples: dict[str, Sample], recipe: dict[str, Any]) -> Iterator[list[object]]:
    """[quantity, this sample, the other implementation, ratio]."""
    for key, label in (("cross_section_pb", "cross-section [pb]"), ("filter_efficiency", "filter efficiency")):
        for name, reference in recipe[key].items():
            if name in samples:
                own = float(samples[name].figures[key])
                yield [f"{name}: {label}", f"{own:.4g}", f"{reference:.4g}", f"{own / reference:.2f}"]
    for name, means in recipe["mean"].items():
        for quantity, reference in means.items() if name in samples else ():
            sample = samples[name]
            values = {"jets": [("jets", sample.event["jets"]), ("jets away from leptons", jets_apart(sample))]}.get(
                quantity, [(quantity, sample.event.get(quantity))]
            )
            for label, column in values:
                own, error = sample.mean(column)
                yield [f"{name}: mean {label}", f"{own:.3f} +- {error:.3f}", reference, f"{own / reference:.2f}"]
    for name, medians in recipe["median"].items():
        for quantity, reference in medians.items() if name in samples else ():
            own, error = samples[name].median(samples[name].event[quantity])
            error = max(error, spec.objects()["met"].pt.lsb / 2)  # momenta come in steps
            yield [f"{name}: median {quantity}", f"{own:.2f} +- {error:.2f}", reference, f"{own / reference:.2f}"]


def cut_rows(samples: dict[str, Sample], recipe: dict[str, Any]) -> Iterator[list[object]]:
    """[cut, signal, AUC of this sample, of the other implementation, their difference]."""
    background = [samples[name] for name in processes()["mix"] if name in samples]
    parent = np.concatenate([s.parent for s in background])
    for cut, references in recipe["auc"].items():
        score = np.concatenate([s.event[cut] for s in background])
        for name, reference in references.items():
            if name in samples:
                low, own, high = auc(score, samples[name].event[cut], parent)
                difference = f"{own - reference:+.3f} +- {np.hypot((high - low) / 2, recipe['auc_error']):.3f}"
                yield [f"{cut}, {name}", f"{own:.3f}", f"{reference:.3f}", difference]


def symmetry_rows(samples: dict[str, Sample]) -> Iterator[list[object]]:
    """[leading object, chi2 of a flat phi, its bins less one, forward-backward asymmetry over its error].

    One event per family, all processes and signals together.
    """
    bins = 36
    chosen = [(s, np.unique(s.parent, return_index=True)[1]) for s in samples.values()]
    for kind in ("met", *KINDS):
        scale = spec.objects()[kind]
        leading = np.concatenate([s.codes[rows, scale.slots][:, 0] for s, rows in chosen])
        leading = leading[leading[:, 0] != 0]
        count = np.bincount(leading[:, 2] // (scale.phi.steps // bins), minlength=bins)
        chi2 = float(((count - count.mean()) ** 2).sum() / count.mean())
        forward, backward = int((leading[:, 1] > 0).sum()), int((leading[:, 1] < 0).sum())
        pull = "" if scale.eta is None else f"{(forward - backward) / np.sqrt(max(forward + backward, 1)):+.1f}"
        yield [kind, f"{len(leading):,}", f"{chi2:.0f}", bins - 1, pull]


def mass_rows(samples: dict[str, Sample], masses: dict[str, float]) -> Iterator[list[object]]:
    """[mass, events, median with its error, known mass]. Windows: 70 to 110 GeV for the Z, none else."""
    found = []
    if "Z" in samples:
        for kind, label in (("egamma", "m(ee) of Z"), ("muon", "m(mumu) of Z")):
            values = dilepton_masses(samples["Z"], kind)
            found.append((label, values[(values > 70) & (values < 110)], masses["Z"], samples["Z"]))
    if "Ato4l" in samples:
        found.append(("m(4l) of A", four_lepton_masses(samples["Ato4l"]), masses["Ato4l"], samples["Ato4l"]))
    for label, values, known, sample in found:
        if len(values):
            own, error = sample.median(values)
            yield [label, f"{len(values):,}", f"{own:.2f} +- {error:.2f}", known]


def report(samples: dict[str, Sample], references: dict[str, Any]) -> str:
    """All tables as Markdown."""
    recipe = references["recipe"]
    parts = [
        ("As published", ["statement about the published files", "objects or events", "against it"],
         range_rows(samples, references["published"])),
        ("Mix", ["process", "events", "worth, by families", "share", "published", "natural, LO"], mix_rows(samples)),
        ("Against another implementation of the recipe", ["quantity", "this sample", "other", "ratio"],
         recipe_rows(samples, recipe)),
        ("AUC of simple cuts, against the same", ["cut, signal", "this sample", "other", "difference"],
         cut_rows(samples, recipe)),
        ("Symmetries", ["leading object", "events", "chi2 of flat phi", "of", "asymmetry of eta / error"],
         symmetry_rows(samples)),
        ("Masses", ["median, GeV", "events", "this sample", "known"], mass_rows(samples, references["masses"])),
    ]  # fmt: skip
    return "\n\n".join(f"**{title}**\n\n{table(head, list(rows))}" for title, head, rows in parts)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables; with --plots draw, with --page write the section of a page."""
    parser = argparse.ArgumentParser(VERB, description="generated events against what is known of the published ones")
    parser.add_argument("sample", type=Path, help="sample folder")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="folder of the plots (none)")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="page whose section is written")
    parser.add_argument("--events", type=int, help="read only the first so many events of each file")
    args = parser.parse_args(arguments)
    if args.page is not None:
        check_section(args.page, VERB)
    if args.plots is not None:
        writable_folder(args.plots)
    samples = read(args.sample, args.events)
    text = report(samples, read_yaml(REFERENCES))
    print(text)
    pictures: list[dict[str, str]] = []
    if args.plots is not None:
        from training.checks import plots as check_plots  # matplotlib only where it is used

        pictures = check_plots.draw(samples, read_yaml(REFERENCES), args.plots)
    if args.page is not None:
        command = (
            f"{VERB} {args.sample} --plots {args.plots} --page {args.page}" if pictures else f"{VERB} {args.sample}"
        )
        links = [_link(picture, args.page) for picture in pictures]
        write_section(args.page, VERB, "\n\n".join([written_by(command), text, *links]))


def _link(picture: dict[str, str], page: Path) -> str:
    """A picture with its caption; the address is relative to the page where it lies below it."""
    file = Path(picture["file"])
    if file.is_relative_to(page.parent):
        file = file.relative_to(page.parent)
    return f"![{picture['title']}]({file})\n\n{picture['caption']}"


if __name__ == "__main__":
    main()
