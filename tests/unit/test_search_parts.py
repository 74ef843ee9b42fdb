"""Parts of `ad40 search`: samples, windows, improvements, spectra, the sentence that says what was found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import Ad40Error, SpecError
from offline import table
from offline.regions import Region
from offline.search import anomaly, sample, spectra
from offline.search.analysis import SHIPPED, Analysis, Signal, claim_p, region_names
from offline.search.anomaly import Sample
from offline.search.background import Task, fit_one
from offline.search.document import read
from offline.search.exclusion import Task as LimitTask
from offline.search.exclusion import limit_one
from offline.search.sample import Chosen
from offline.search.summary import verdict
from offline.statistics.ranges import Axis, Settings
from tests.offline_toys import ToySource, toys


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    (tmp_path / "data.h5").write_bytes(b"")
    return read(SHIPPED / "jetx.yaml", (tmp_path / "data.h5",))


def test_chosen_rows_are_those_of_the_source_in_any_blocks() -> None:
    source = ToySource(5000, 3)
    rows = np.sort(np.random.default_rng(1).choice(5000, 700, replace=False))
    chosen = Chosen(source, rows, 12.0)
    everything = np.concatenate([block.met for block in source.blocks(5000)])
    for size in (5000, 999):
        blocks = list(chosen.blocks(size))
        assert sum(map(len, blocks)) == chosen.n == 700
        np.testing.assert_array_equal(np.concatenate([block.met for block in blocks]), everything[rows])
    assert chosen.attributes["events"] == 700 and chosen.attributes["injected"] and chosen.cross_section_pb == 12.0


def test_an_injection_is_events_of_a_file() -> None:
    found = sample.parse_injection("a:b/c.h5:20")
    assert (found.file, found.events) == (Path("a:b/c.h5"), 20)
    for text in ("c.h5", "c.h5:", ":3", "c.h5:0", "c.h5:-1", "c.h5:1.5"):
        with pytest.raises(Ad40Error, match="expected FILE:N"):
            sample.parse_injection(text)


def test_luminosity(analysis: Analysis) -> None:
    two = [{"events": 100, "sample": {"luminosity_pb": 3.0}}, {"events": 50, "sample": {"luminosity_pb": 1.5}}]
    document: dict[str, Any] = {"cutflow": [["read", 150, 300.0]], "cross_section_pb": 20.0}
    assert sample.luminosity_fb(analysis, two, document) == pytest.approx(0.0045)
    assert sample.luminosity_fb(replace(analysis, luminosity_fb=140.0), two, document) == 140.0
    plain = [{"events": 100}, {"events": 50}]
    assert sample.luminosity_fb(analysis, plain, document) == pytest.approx(300 / 20 / 1000)
    added = [{"events": 100}, {"events": 50, "injected": True}]  # what is injected is no luminosity
    assert sample.luminosity_fb(analysis, added, document) == pytest.approx(200 / 20 / 1000)
    assert sample.luminosity_fb(analysis, plain, document | {"cross_section_pb": None}) is None


def test_the_shortest_window() -> None:
    values = np.concatenate([np.linspace(0, 100, 50), np.linspace(40, 41, 60)])
    low, high = anomaly.shortest(values, 0.5) or (0, 0)
    assert 39.9 < low < high < 41.1 and ((values >= low) & (values <= high)).sum() == 55
    assert anomaly.shortest(np.array([]), 0.5) is None
    assert anomaly.shortest(np.array([7.0]), 0.5) == (7.0, 7.0)


def scored(rng: np.random.Generator, n: int, shift: float, mass: float | None = None) -> Sample:
    """A sample whose score is normal around `shift`, its masses narrow around `mass` or flat from 0 to 1000 GeV."""
    masses = rng.normal(mass, 20, n) if mass else rng.uniform(0, 1000, n)
    return Sample(
        rng.normal(shift, 1, n).astype(np.float32), np.ones(n), rng.uniform(0, 2, n).astype(np.float32),
        {"jj": masses.astype(np.float32)}, {"jet": rng.random(n) < 0.5}, float(2 * n), 3.0,
    )  # fmt: skip


def test_improvement_is_that_of_the_acceptances_in_the_window() -> None:
    rng = np.random.default_rng(3)
    data, found = scored(rng, 200_000, 0.0), scored(rng, 5000, 2.0, 500.0)
    regions = (Region("1pb", 1.0, 1.0),)
    kept = [anomaly.cuts(one, regions, 0.6) for one in (data, found)]
    assert list(kept[0]) == ["1pb", "ystar<0.6"]
    result = anomaly.improvement(Signal("s", "s", (), None, "jj", "jet"), data, kept[0], found, kept[1], 2.0)
    low, high = result["window"]
    assert 460 < low < 500 < high < 540
    # half of the signal is in the window and half of that in the stream; sigma 3 pb, half of the events read kept
    assert result["signal"] == pytest.approx(3.0 * 2000 / 2 * 0.5 * 0.5, rel=0.1)
    cut = result["cuts"]["1pb"]
    signal, background = cut["signal"]["acceptance"][1], cut["background"]["acceptance"][1]
    assert signal == pytest.approx(0.841, abs=0.03) and background == pytest.approx(0.159, abs=0.03)
    assert cut["naive"][1] == pytest.approx(100 * (signal / background**0.5 - 1))
    assert cut["naive"][0] < cut["naive"][1] < cut["naive"][2]
    assert result["cuts"]["ystar<0.6"]["naive"][1] == pytest.approx(100 * (0.3**0.5 - 1), abs=10)
    every = anomaly.improvement(Signal("s", "s", (), 1.0, None, None), data, kept[0], found, kept[1], 2.0)
    assert every["window"] is None and every["background"] == 200_000
    nothing = Signal("s", "s", (), None, "jj", None)
    away = replace(found, mass={"jj": found.mass["jj"] + 5000})
    assert "no event of the data" in anomaly.improvement(nothing, data, kept[0], away, kept[1], 2.0)["reason"]
    absent = replace(found, mass={"jj": np.full(5000, np.nan, np.float32)})
    assert "no event of the signal" in anomaly.improvement(nothing, data, kept[0], absent, kept[1], 2.0)["reason"]


def test_each_spectrum_is_fitted_or_says_why_not(analysis: Analysis) -> None:
    edges = np.array([float(e) for e in range(300, 900, 20)])
    axis, settings = Axis("jj", edges), Settings(functions=(), min_entries=50)

    def fit(counts: list[int]) -> dict[str, Any]:
        return fit_one(Task(axis, counts, settings, analysis.fits, (1, 2)))

    n = len(edges) - 1
    one_bin = [0] * n
    one_bin[4] = 500
    assert fit([0] * n)["reason"] == "no entries"
    assert "one bin" in fit(one_bin)["reason"]
    assert "fewer than 50" in fit([2, 1] + [1] * (n - 2))["reason"]
    good = fit(np.random.default_rng(1).poisson(900 * np.exp(-np.arange(n) / 5)).tolist())
    assert good["reason"] is None and good["function"] in analysis.fits.functions
    assert len(good["expected"]) == len(good["pulls"]) and good["entries"] > 1000
    assert 0 < good["gof_p"] <= 1 and good["minuit_valid"] and good["newton_minuit"] < 0.01
    first = good["start"]
    found = limit_one(LimitTask("jj", False, edges[first:].tolist(), (900 * np.exp(-np.arange(n) / 5)).astype(int)
                                .tolist()[first:], "p3", 13000.0, [500.0, 5000.0], [0.0, 0.1], "asymptotic", 1))  # fmt: skip
    assert [p["reason"] is None for p in found] == [True, False, True, False]
    assert "inside the spectrum" in found[1]["reason"]


def test_axes_know_their_range_and_floor(analysis: Analysis, tmp_path: Path) -> None:
    found = {axis.name: axis for axis in spectra.axes(analysis)}
    assert all((axis.floor, axis.ceiling) == (300, 9000) for axis in found.values())
    trigger = read(SHIPPED / "trigger.yaml", analysis.data)
    floors = {axis.name: axis.floor for axis in spectra.axes(trigger)}
    assert floors == {"jj": 0, "je": 120, "jmu": 120, "ee": 120, "mumu": 120, "emu": 0}


def test_a_spectrum_that_falls_from_a_known_mass_on(analysis: Analysis, tmp_path: Path) -> None:
    text = (SHIPPED / "trigger.yaml").read_text()
    path = tmp_path / "falling.yaml"
    path.write_text(text.replace("  floors:", "  falling_from: {jj: 250}\n  floors:"))
    found = {axis.name: axis for axis in spectra.axes(read(path, analysis.data))}
    assert [(a.floor, a.turn_on) for a in (found["jj"], found["je"])] == [(250, False), (120, True)]
    path.write_text(text.replace("  floors:", "  falling_from: {bb: 250}\n  floors:"))
    with pytest.raises(SpecError, match="falling_from"):
        read(path, analysis.data)


def test_names_and_levels() -> None:
    assert region_names(None) == ("all",)
    assert claim_p(3) == pytest.approx(1.349898e-3, rel=1e-6) and claim_p(5) == pytest.approx(2.866516e-7, rel=1e-6)
    assert spectra.ystar_name(0.6) == "ystar<0.6"


def test_verdict_without_any_spectrum() -> None:
    nothing = {"global": {"spectrum": None, "p_is_limit": False, "p": 1.0}, "spectra": [], "bump": False}
    assert verdict(nothing) == "No spectrum could be searched."


def test_negative_weights_are_seen(tmp_path: Path) -> None:
    events = toys(2000, 5)
    events.columns["weight"][:30] = -1

    class Weighted(ToySource):
        def _read(self, size: int) -> Any:
            yield events

    path = tmp_path / "table.h5"
    document = table.write(path, [Weighted(2000)], streams=["any"], spectra=["jj"])
    described = sample.describe(path, document)
    assert described["negative_weights"] == 30 and described["weights_differ"]
    assert described["classes"]["events"] == 2000
