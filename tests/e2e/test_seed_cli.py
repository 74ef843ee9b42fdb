"""From a cluster to a trigger, as a user runs it: show, seed, trigger with both models, cost, report."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import record
from ad40.cli import main
from ad40.defaults import SAMPLE
from ad40.model import read_trigger
from offline import inputs
from offline.clusters import result
from offline.seeds import quantities

EVENTS = 30000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a result: clusters by the number of leptons, and a signal in the data of the last."""
    folder = tmp_path_factory.mktemp("run")
    with h5py.File(SAMPLE / "background.h5") as source, h5py.File(folder / "background.h5", "w") as target:
        for name, value in source.attrs.items():
            target.attrs[name] = value
        for name, data in source.items():
            target[name] = data[:EVENTS]
            target[name].attrs.update(data.attrs)
    known, signal = inputs.read(folder / "background.h5"), inputs.read(SAMPLE / "Ato4l.h5", limit=400)
    column = [one.name for one in quantities.quantities()].index("N(lepton)")
    parts = []
    for events, source, label in ((known, 0, 0), (signal, 0, 1), (known, 1, 0)):
        leptons = quantities.table(events.codes)[:, column]
        n, cluster = len(events), np.minimum(leptons, 2)
        parts.append(result.assigned(events, source, cluster, np.abs(leptons - cluster), np.ones(n), np.ones(n),
                                     np.full(n, label)))  # fmt: skip
    events = result.joined(parts)
    entries = []
    for k in range(3):
        data, known_too = ((events.cluster == k) & (events.source == s) for s in (0, 1))
        entries.append({"cluster": k, "observed": int(data.sum()), "expected": float(known_too.sum()), "local_z": 5.0,
                        "flagged": k == 2})  # fmt: skip
    document = {"clusters": entries, "flagged": [2], "labels": {"1": "Ato4l"}}
    result.write(folder / "cluster", document, events)
    return folder


def test_show(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "show", str(run / "cluster"), "--output", str(run / "show"), "--events", "2"]) == 0
    document = json.loads((run / "show" / "show.json").read_text())
    (one,) = document["clusters"]
    assert one["observed"] > one["expected"] > 0 and one["labels"]["Ato4l"] > 200
    assert one["separations"][0]["quantity"] in ("N(lepton)", "pt(e2)", "pt(mu2)", "LT")
    assert {"ee", "mumu"} <= {spectrum["name"] for spectrum in one["spectra"]}
    assert (run / "show" / "plots" / "cluster2_event2_rmm.png").is_file()
    assert all(Path(run / "show" / entry["file"]).is_file() for entry in document["plots"])
    assert main(["cluster", "show", str(run / "cluster"), "--output", str(run / "no"), "--cluster", "9"]) == 2
    assert "one of 0, 1, 2" in capsys.readouterr().err and not (run / "no").exists()


def test_seed_beside_a_released_model(run: Path) -> None:
    arguments = ["cluster", "seed", str(run / "cluster"), "--background", str(run / "background.h5"), "--rate", "20",
                 "--kind", "cuts", "tree", "--output", str(run / "seed"), "--name", "many_leptons",
                 "--signal", str(SAMPLE / "Ato4l.h5"), "--model", "ad40_small"]  # fmt: skip
    assert main(arguments) == 0
    document = json.loads((run / "seed" / "seed.json").read_text())
    *others, new = document["seeds"]
    assert new["seed"] == "AD40_many_leptons" and others[0]["model"] == "ad40_small"
    assert 0 < new["rate_hz"][1] < 30 and new["excess"][1] > 0.3
    assert document["labels"]["Ato4l"]["efficiency"][1] > 0.3
    if document["cost"]["known"]:
        assert document["cost"]["fits"] and 0 < document["cost"]["lut"] < 2000
    assert main(["verify", "--golden", str(run / "seed")]) == 0
    # the seed triggers beside the released model: its bit is that of its rate in the summary
    out = run / "kept.h5"
    models = ["ad40_small", str(run / "seed")]
    assert main(["trigger", str(run / "background.h5"), "--model", *models, "--output", str(out)]) == 0
    kept = record.read(out, read_trigger(models))
    fired = kept.seed("AD40_many_leptons")
    score = kept.columns["hw_score_many_leptons"]
    np.testing.assert_array_equal(fired, score >= new["threshold"])
    assert fired.any() and not fired.all()


def test_sections_of_the_report(run: Path) -> None:
    assert main(["report", str(run), "--sample", str(SAMPLE)]) == 0
    text = (run / "report.html").read_text()
    assert "Events of flagged clusters" in text and "Dedicated seed" in text and "AD40_many_leptons" in text
