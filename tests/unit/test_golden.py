"""Golden vectors: everything the emulator gives is in them, and one changed bit is found where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ad40 import golden
from ad40.differences import SHOWN, Column, Differences, Field, seed_fields
from ad40.errors import HashMismatch, InputError
from ad40.model import Model, read_model


@pytest.fixture
def model(model_dir: Path, codes: np.ndarray, tmp_path: Path) -> Model:
    """A model folder with golden vectors of its own."""
    for name in ("network.json", "menu.yaml"):
        (tmp_path / name).write_bytes((model_dir / name).read_bytes())
    model = read_model(tmp_path)
    golden.write(tmp_path / golden.FILE, golden.emulate(model, codes[:400]))
    return model


def test_what_was_written_comes_out(model: Model, codes: np.ndarray) -> None:
    read = golden.read(model.folder / golden.FILE)
    assert np.array_equal(read.codes, codes[:400])
    assert np.ptp(read.answers["hw_score"]) > 10 and 0 < read.answers["l1a"].sum() < 400
    assert (read.answers["seeds_before"] != read.answers["seeds_after"]).any(), "a prescale is at work"
    found = golden.check(model)
    assert (found.rows, found.wrong, found.first) == (400, 0, [])


@pytest.mark.parametrize("name", golden.ANSWERS)
def test_one_bit_of_any_answer_is_found(name: str, model: Model) -> None:
    path = model.folder / golden.FILE
    read = golden.read(path)
    array = read.answers[name].copy()
    index = (123, *(17 for _ in array.shape[1:]))
    array[index] ^= 2 if name.startswith("seeds") else 1
    golden.write(path, replace(read, answers=read.answers | {name: array}))
    found = golden.check(model)
    assert (found.rows, found.wrong, len(found.first)) == (400, 1, 1)
    first = found.first[0]
    expected = {
        "inputs": "input muon[0].phi", "outputs": "output muon[0].phi", "hw_score": "hw_score",
        "seeds_before": "seeds_before: seed S1", "seeds_after": "seeds_after: seed S1", "l1a": "l1a",
    }  # fmt: skip
    assert (first.row, first.place, first.field) == (123, "event 123", expected[name])
    assert abs(first.found - first.wanted) == 1


def test_another_network_is_found(model: Model) -> None:
    """What a changed emulator would give: one weight differs under the hash of the old network."""
    layer = model.network.layers[-1]
    weight = layer.weight.copy()
    row, column = (int(i[0]) for i in np.nonzero(weight))
    weight[row, column] *= -1
    network = replace(model.network, layers=(*model.network.layers[:-1], replace(layer, weight=weight)))
    network.__dict__["hash"] = model.network.hash
    found = golden.check(replace(model, network=network))
    assert 10 < found.wrong <= 400 and len(found.first) == SHOWN
    fields = {first.field.split()[0] for first in found.first}
    assert fields <= {"output", "hw_score", "seeds_before:", "seeds_after:", "l1a"} and "output" in fields
    assert found.sentence("golden.npz", "emulator").startswith(
        f"golden.npz != emulator: {found.wrong}/400 events; first at event "
    )


def test_bad_files_are_refused(model: Model) -> None:
    path = model.folder / golden.FILE
    good, read = path.read_bytes(), golden.read(path)

    def arrays() -> dict[str, np.ndarray]:
        with np.load(path) as file:
            return dict(file)

    everything = arrays()
    for change, message in (
        ({"hw_score": None}, "golden.npz: arrays is codes, hash, "),
        ({"more": np.zeros(3)}, "golden.npz: arrays is codes, hash, "),
        ({"codes": np.zeros(3, np.int16)}, r"golden.npz: codes is int16 \(3,\)"),
        ({"l1a": np.zeros(400, np.int64)}, r"golden.npz: l1a is int64 \(400,\); expected uint8 \(400,\)"),
        ({"outputs": everything["outputs"][1:]}, r"golden.npz: outputs is int64 \(399, 57\); expected int64 \(400, 57"),
        ({"outputs": everything["outputs"][:, 0]}, r"golden.npz: outputs is int64 \(400,\); expected int64 \(400, 1"),
        ({"hw_score": everything["hw_score"] + 1}, "golden.npz: hash of the content is "),
        ({"codes": np.full((400, 19, 3), -1, np.int16)}, "golden.npz: event 0, "),
        ({"network_hash": np.array([[None]], object)}, "golden.npz: file is unreadable"),
    ):
        with path.open("wb") as stream:
            np.savez(stream, **{name: value for name, value in (everything | change).items() if value is not None})
        with pytest.raises(InputError, match=message):
            golden.read(path)
    for text in (b"", b"PK", good[:-30], b"not a zip archive at all"):
        path.write_bytes(text)
        with pytest.raises(InputError, match=r"golden\.npz: file is unreadable"):
            golden.read(path)
    path.unlink()
    with pytest.raises(InputError, match=r"golden\.npz: file is unreadable"):
        golden.read(path)
    narrow = read.answers | {"outputs": read.answers["outputs"][:, 1:]}
    golden.write(path, replace(read, answers=narrow))
    with pytest.raises(InputError, match=r"golden.npz: outputs is \(400, 56\); expected \(400, 57\), of the network"):
        golden.check(model)
    for name in ("network_hash", "menu_hash"):
        golden.write(path, replace(read, **{name: "0" * 64}))
        with pytest.raises(HashMismatch, match=f"golden.npz: {name} is 000"):
            golden.check(model)


def test_flipped_bits_are_refused_or_change_nothing(model: Model) -> None:
    """Of a golden file without a list that pins its bytes: an archive also holds dates and the like."""
    path = model.folder / golden.FILE
    good, content, rng = path.read_bytes(), golden.read(path).hash, np.random.default_rng(3)
    refused = 0
    for bit in rng.choice(8 * len(good), 150, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            assert golden.read(path).hash == content
        except InputError as error:
            assert error.file == str(path)
            refused += 1
    assert refused > 140


def test_differences_count_all_and_name_the_first() -> None:
    rng = np.random.default_rng(0)
    columns = [
        Column("value"),
        Column("word", (Field("low", 0, 4), Field("flag", 9))),
        Column("mask", seed_fields(["A", "B"])),
    ]
    wanted = rng.integers(0, 1 << 12, (1000, 3)).astype(np.uint64)
    found = wanted.copy()
    found[3, 0] += np.uint64(1)
    found[7, 1] ^= np.uint64(0b10_0010_0101)  # fields low and flag, and bit 5 of neither
    found[600, 2] ^= np.uint64(2)
    differences = Differences("BX {}".format, "bunch crossings")
    for start in range(0, 1000, 300):
        differences.compare(start, columns, found[start : start + 300], wanted[start : start + 300])
    assert (differences.rows, differences.wrong) == (1000, 3)
    assert [(d.row, d.field) for d in differences.first] == [
        (3, "value"), (7, "word: low"), (7, "word: flag"), (7, "word: bit 5"), (600, "mask: seed B"),
    ]  # fmt: skip
    for d in differences.first[1:]:
        assert d.found ^ d.wanted in (1, 5)
    sentence = differences.sentence("file", "emulator").splitlines()
    a, b = differences.first[0].found, differences.first[0].wanted
    assert sentence[0] == f"file != emulator: 3/1000 bunch crossings; first at BX 3, value {a} vs {b}"
    assert len(sentence) == 5 and sentence[-1].startswith("  BX 600, mask: seed B ")
    differences.compare(1000, columns, found + np.uint64(1), wanted)
    assert (differences.rows, len(differences.first)) == (2000, SHOWN)
    assert differences.sentence("file", "emulator").splitlines()[-1] == "  ..."


def test_the_largest_words_are_exact() -> None:
    """Bit 63 of a word of a link, and values of 62 bits that double precision would round."""
    one, other = np.array([[1 << 63]], np.uint64), np.array([[0]], np.uint64)
    differences = Differences()
    differences.compare(0, [Column("word", ())], one, other)
    differences.compare(1, [Column("value")], np.array([[(1 << 62) - 1]]), np.array([[(1 << 62) - 2]]))
    assert [str(d) for d in differences.first] == [
        "event 0, word: bit 63 1 vs 0",
        f"event 1, value {(1 << 62) - 1} vs {(1 << 62) - 2}",
    ]
