"""Pattern files and packets through the command line: what goes in as lanes comes out as the emulator decides."""

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import objects, patterns, record, spec, ugt
from ad40.cli import main
from ad40.events import write_hw_sample
from ad40.files import file_hash, write_json
from ad40.menu import seed_bits
from ad40.model import read_trigger
from ad40.packets import FLAGS, encode_packets
from tests.unit.test_packets import accepted, contents, counters_of

N = 3564


@pytest.fixture
def events(codes: np.ndarray, tmp_path: Path) -> Path:
    """One orbit of hardware events."""
    write_hw_sample(tmp_path / "events.h5", codes[:N])
    return tmp_path / "events.h5"


def ad40(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.mark.parametrize("form", patterns.FORMATS)
@pytest.mark.parametrize("clock", ["ugt240", "ugt360"])
def test_expected_outputs(
    form: str, clock: str, events: Path, model_dir: Path, codes: np.ndarray, tmp_path: Path
) -> None:
    inputs, out, scores, summary = (tmp_path / name for name in ("in.txt.gz", "out.txt", "scores.h5", "s.json"))
    common = ["--model", model_dir, "--clock", clock]
    assert ad40("emulate", events, *common, "--output", scores, "--inputs", inputs, "--format", form) == 0
    assert ad40("emulate", "--patterns", inputs, *common, "--output", out, "--json", summary) == 0
    board = read_trigger([model_dir])
    _, decision = accepted(board, codes[:N])
    with h5py.File(scores) as file:
        hw_score, before, after = (file[name][()] for name in ("hw_score", "seeds_before", "seeds_after"))
    assert np.array_equal(hw_score, board.score(codes[:N])[:, 0]) and np.ptp(hw_score) > 10
    assert np.array_equal(after, seed_bits(decision.seeds_after)) and (before != after).any()
    found, given = patterns.read_any(out)
    assert found == form
    if isinstance(given, ugt.Vectors):
        assert np.array_equal(seed_bits(given.algorithms[:, :3]), before) and not given.algorithms[:, 3:].any()
        assert np.array_equal(given.final_or, after != 0) and 0 < given.final_or.sum() < N
        assert np.array_equal(objects.unpack(ugt.to_words(given)), codes[:N])
    else:
        words = given.data.reshape(N, spec.latency(clock).clocks_per_bx)[:, -6:].astype(np.int64)
        assert np.array_equal(words[:, 0], (after != 0) * 0xA0000000 + np.arange(N))
        assert np.array_equal(words[:, 1:4], np.stack([before, after, hw_score], axis=1))
        assert not words[:, 4:].any()
    document = json.loads(summary.read_text())
    assert (document["events"], document["bad"], document["format"]) == (N, 0, form)
    assert document["models"][0]["hw_score_range"] == [hw_score.min(), hw_score.max()]
    assert document["l1a"] == int(decision.l1a.sum())
    assert [seed["after"] for seed in document["seeds"]] == decision.seeds_after.sum(axis=0).tolist()


def test_faults_on_the_links(events: Path, model_dir: Path, tmp_path: Path) -> None:
    inputs, out, summary = tmp_path / "in.txt", tmp_path / "out.txt", tmp_path / "s.json"
    assert (
        ad40(
            "emulate",
            events,
            "--model",
            model_dir,
            "--output",
            tmp_path / "s.h5",
            "--inputs",
            inputs,
            "--format",
            "apx",
        )
        == 0
    )
    good = patterns.read(inputs)
    assert isinstance(good, patterns.Pattern)
    good.error[6 * 100 + 2, 1] = True
    good.valid[6 * 200 : 6 * 201, 3] = False
    patterns.write(inputs, good, "apx")
    command = ["emulate", "--patterns", inputs, "--model", model_dir, "--output", out]
    assert ad40(*command, "--json", summary) == 0
    document = json.loads(summary.read_text())
    assert document["bad"] == 2
    assert {f: sum(lanes.values()) for f, lanes in document["frame_faults"].items()} == {
        "corrupted": 1,
        "late": 0,
        "missing": 1,
    }
    assert document["frame_faults"]["corrupted"]["muon1"] == document["frame_faults"]["missing"]["jet0"] == 1
    lane = patterns.read(out)
    assert isinstance(lane, patterns.Pattern)
    head = lane.data.reshape(N, 6)[:, 0].astype(np.int64)
    assert np.flatnonzero(head >> 30 & 1).tolist() == [100, 200]
    assert not (head[[100, 200]] >> 31).any() and not lane.data.reshape(N, 6)[[100, 200], 1:3].any()
    # another format on request
    assert ad40(*command, "--format", "ugt") == 0
    vectors = patterns.read(out)
    assert isinstance(vectors, ugt.Vectors) and not vectors.final_or[[100, 200]].any()
    assert np.array_equal(vectors.final_or, head >> 29 & 1)


def test_the_real_orbit(reference_data: Path, model_dir: Path, tmp_path: Path) -> None:
    source, out, again = reference_data / "ugt_orbit_adt_v6.txt.gz", tmp_path / "out.txt", tmp_path / "again.txt.gz"
    assert ad40("emulate", "--patterns", source, "--model", model_dir, "--output", out) == 0
    before, after = gzip.decompress(source.read_bytes()).split(b"\r\n"), out.read_bytes().split(b"\r\n")
    assert [line.split()[:58] for line in before] == [line.split()[:58] for line in after]
    vectors = patterns.read(out)
    assert isinstance(vectors, ugt.Vectors)
    board = read_trigger([model_dir])
    score = board.score(objects.unpack(ugt.to_words(vectors)))[:, 0]
    cuts = np.array([seed.threshold for seed in board.menu.seeds])
    assert np.array_equal(vectors.algorithms[:, :3], score[:, None] >= cuts) and vectors.algorithms[:, 0].any()
    # replacing is idempotent
    assert ad40("emulate", "--patterns", out, "--model", model_dir, "--output", again) == 0
    assert gzip.decompress(again.read_bytes()) == out.read_bytes()


def test_bad_use_is_refused(events: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lanes = patterns.from_words(objects.pack(np.zeros((20, 19, 3), np.int32)), spec.latency("ugt240"))
    files = {name: tmp_path / f"{name}.txt" for name in ("good", "short", "cut", "other", "broken")}
    patterns.write(files["good"], lanes)
    patterns.write(files["short"], lanes.at(slice(0, 4)))
    patterns.write(files["cut"], lanes.at(slice(0, 100)))
    patterns.write(files["other"], patterns.Pattern(*(getattr(lanes, f)[:, :5] for f in (
        "data", "valid", "start_of_orbit", "start_of_packet", "end_of_packet", "error")), links=(1, 2, 3, 4, 5)))  # fmt: skip
    files["broken"].write_bytes(files["good"].read_bytes().replace(b"Frame 0031", b"Frame 0041"))
    out = tmp_path / "out" / "o.txt"
    cases = [
        (["--patterns", files["short"]], "short.txt: frame at clock 0 is 4 words; expected 6 or more"),
        (["--patterns", files["cut"]], "cut.txt: clocks after the start of orbit is 16 whole frames of 6 and 4 words more"),
        (["--patterns", files["other"]], "other.txt: links is 5; expected 6: lanes muon0"),
        (["--patterns", files["broken"]], "broken.txt: line 36, frame is 41; expected 31"),
        (["--patterns", files["good"], "--clock", "ugt360"], "good.txt: clocks per BX is 6; expected 9, those of ugt360"),
        (["--patterns", files["good"], "--format", "ugt"], "bunch crossings is 20; expected 3564: one orbit"),
        (["--patterns", files["good"], "--clock", "lhc"], "latency configuration is lhc; expected one of ugt240, ugt360"),
        (["--patterns", events], "line 1, "),
        (["--patterns", files["good"], events], "EVENTS and --patterns is both; expected one of the two"),
        ([], "EVENTS and --patterns is neither"),
        ([events, "--format", "apx"], "--format is apx; expected --inputs with it"),
        (["--patterns", files["good"], "--inputs", out], "--inputs is "),
    ]  # fmt: skip
    for arguments, message in cases:
        assert ad40("emulate", *arguments, "--model", model_dir, "--output", out) == 2
        assert message in capsys.readouterr().err
        assert not out.parent.exists() or list(out.parent.iterdir()) == []
    (tmp_path / "blocked").write_text("")
    assert (
        ad40("emulate", "--patterns", files["good"], "--model", model_dir, "--output", tmp_path / "blocked" / "o") == 2
    )
    assert "cannot be written" in capsys.readouterr().err


def test_readout_writes_the_record_of_trigger(events: Path, model_dir: Path, codes: np.ndarray, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    one, two, binary, counts = (tmp_path / name for name in ("one.h5", "two.h5", "packets.bin", "counters.json"))
    assert ad40("trigger", events, "--model", model_dir, "--output", one, "--run", 9) == 0
    board = read_trigger([model_dir])
    sent, decision = accepted(board, codes[:N])
    source = {"file": events.name, "sha256": file_hash(events), "events": N, "attributes": {}}
    binary.write_bytes(encode_packets(sent, board.design_id))
    write_json(counts, counters_of(board, decision, source, 9).to_dict(board.menu))
    command = ["readout", binary, "--model", model_dir, "--counters", counts, "--output", two]
    assert ad40(*command, "--json", tmp_path / "s.json") == 0
    left, right = contents(one), contents(two)
    assert left[1] == right[1] and left[0].keys() == right[0].keys()
    assert all(np.array_equal(data, right[0][name]) for name, data in left[0].items())
    assert len(record.read(two, board)) == len(sent) > 100
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["events_kept"], summary["lost"], summary["link_errors"], summary["external"]) == (
        len(sent),
        0,
        0,
        0,
    )

    # events that the board lost and said so
    keep = np.arange(len(sent)) != 5
    lossy = sent.at(keep)
    lossy.flags[5] = FLAGS["overflow"] | FLAGS["link_error"]
    binary.write_bytes(encode_packets(lossy, board.design_id))
    capsys.readouterr()
    assert ad40(*command, "--json", tmp_path / "s.json") == 0
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["events_kept"], summary["lost"], summary["link_errors"]) == (len(sent) - 1, 1, 1)
    assert "1 accepted events lost" in capsys.readouterr().out

    # refused, and the record that is there stays
    stays = two.read_bytes()
    binary.write_bytes(binary.read_bytes()[:-4])
    assert ad40(*command) == 2
    assert f"packet {len(sent) - 2} at byte " in capsys.readouterr().err
    binary.write_bytes(encode_packets(sent, board.design_id))
    document = json.loads(counts.read_text())
    document["seeds"][0] |= {"after": 3}
    write_json(counts, document)
    assert ad40(*command) == 2
    assert "seeds[0].after of S0 is 3; expected at least" in capsys.readouterr().err
    assert two.read_bytes() == stays
