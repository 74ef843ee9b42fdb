"""Expected outputs: whatever single bit of them is flipped, it is found, and found where it is."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40 import expect, objects, patterns, spec, ugt
from ad40.errors import HashMismatch, InputError
from ad40.menu import MenuState, seed_bits
from ad40.model import Trigger, read_trigger
from tests.rtl import full_menu

CLOCKS = {"ugt240": 6, "ugt360": 9}
FLAGS = ("valid", "start_of_orbit", "start_of_packet", "end_of_packet", "error")


@pytest.fixture(scope="module")
def board(model_dir: Path) -> Trigger:
    return read_trigger([model_dir])


def answer(board: Trigger, codes: np.ndarray, clock: str) -> patterns.Pattern:
    score = board.score(codes)
    return patterns.from_decisions(MenuState(board.menu).decide(score), score, spec.latency(clock))


def flipped(pattern: patterns.Pattern, clock: int, bit: int) -> patterns.Pattern:
    """One bit of link 0 turned: of its word, or above 63 one of the flags."""
    arrays = {name: getattr(pattern, name).copy() for name in ("data", *FLAGS)}
    if bit < 64:
        arrays["data"][clock, 0] ^= np.uint64(1 << bit)
    else:
        arrays[FLAGS[bit - 64]][clock, 0] ^= True
    return patterns.Pattern(**arrays, links=pattern.links, board=pattern.board)


def wanted_field(board: Trigger, word: int, bit: int) -> str:
    """What a bit of the output lane is, written down again from docs/patterns.md."""
    seeds = [seed.name for seed in board.menu.seeds]
    if bit >= 64:
        return f": {FLAGS[bit - 64]}"
    if word == 0:
        named = {31: ": L1A", 30: ": fault on the links", 29: ": request"} | dict.fromkeys(range(12), ": BX")
    elif word in (1, 2):
        when = "before" if word == 1 else "after"
        named = {i: f": seed {name} {when} prescale" for i, name in enumerate(seeds)}
    elif word in range(3, 3 + len(board.networks)):
        named = dict.fromkeys(range(32), f": hw_score of {board.networks[word - 3].name}")
    else:
        named = {}
    return named.get(bit, f": bit {bit}")


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("several", [False, True])
def test_every_bit_of_an_output_lane(
    clock: str, several: bool, board: Trigger, rtl_trigger: Trigger, codes: np.ndarray
) -> None:
    """Every bit of every word and every flag of a bunch crossing, with one model and with two."""
    board = Trigger(rtl_trigger.networks, full_menu(rtl_trigger.networks)) if several else board
    per_bx, bx = CLOCKS[clock], 7
    good = answer(board, codes[:12], clock)
    assert expect.compare_patterns(Path("e"), good, good, board, per_bx).wrong == 0
    for word in range(per_bx):
        for bit in range(64 + len(FLAGS)):
            bad = flipped(good, bx * per_bx + word, bit)
            found = expect.compare_patterns(Path("e"), bad, good, board, per_bx)
            assert (found.rows, found.wrong, len(found.first)) == (12, 1, 1)
            first, number = found.first[0], word - (per_bx - 6)
            name = f"link 0 word {number}" if number >= 0 else f"link 0 idle word {word}"
            assert (first.row, first.place) == (bx, f"orbit 0 BX {bx}")
            assert first.field == name + wanted_field(board, number, bit)
            assert first.found != first.wanted


def test_orbits_are_counted(board: Trigger, codes: np.ndarray) -> None:
    good = answer(board, np.concatenate([codes, codes])[:3570], "ugt240")
    found = expect.compare_patterns(Path("e"), flipped(good, 6 * 3567 + 3, 4), good, board, 6)
    assert str(found.first[0]).startswith("orbit 1 BX 3, link 0 word 3: hw_score of test ")


@pytest.mark.parametrize("form", ["emp", "apx"])
def test_bits_of_a_file_of_lanes(form: str, board: Trigger, codes: np.ndarray, tmp_path: Path) -> None:
    """Text too: a flipped bit of the file is refused with its line, or found, or says the same in another way."""
    path = tmp_path / "expected.txt"
    good = answer(board, codes[:3], "ugt240")
    patterns.write(path, good, form)
    text = path.read_bytes()
    counts = {"refused": 0, "found": 0, "same": 0}
    wanted = patterns.read(path)
    header = 8 * text.index(b"Frame 0000" if form == "emp" else b"0x0000")
    some = np.random.default_rng(4).choice(np.arange(header, 8 * len(text)), 700, replace=False)
    for bit in (*range(0, header, 5), *some.tolist()):
        bad = bytearray(text)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            expected = patterns.read(path)
            wrong = expect.compare_patterns(path, expected, wanted, board, 6).wrong
        except InputError as error:
            assert error.file == str(path)
            counts["refused"] += 1
            continue
        if wrong:
            counts["found"] += 1
        else:  # upper and lower case of a hexadecimal digit, white space of another kind, link 00 for link 000
            assert expected == wanted
            counts["same"] += 1
    assert counts["found"] > 100 and counts["refused"] > 100 and counts["same"] < 60, counts


def test_vectors_of_the_global_trigger(board: Trigger, codes: np.ndarray) -> None:
    words = objects.pack(codes[:3564])
    good = ugt.with_decision(ugt.from_words(words), MenuState(board.menu).decide(board.score(codes[:3564])))
    assert expect.compare_patterns(Path("e"), good, good, board, 6).wrong == 0

    def first(name: str, index: tuple[int, ...], bit: int = 0) -> str:
        arrays = {f: getattr(good, f).copy() for f in (*ugt.OBJECTS, "external", "algorithms", "final_or")}
        kind = arrays[name].dtype.type
        arrays[name][index] ^= kind(True) if kind is np.bool_ else kind(1 << bit)
        found = expect.compare_patterns(Path("e"), ugt.Vectors(**arrays), good, board, 6)
        assert (found.rows, found.wrong, len(found.first)) == (3564, 1, 1)
        assert found.first[0].place == f"orbit 0 BX {index[0]}"
        return found.first[0].field

    for algorithm in (0, 1, 2, 3, *range(62, ugt.N_ALGORITHMS, 43), 511):
        field = first("algorithms", (99, algorithm))
        seed = f", seed S{algorithm}" if algorithm < 3 else ""
        assert field.endswith(f": algorithm {algorithm}{seed}")
    for condition in (0, 63, 64, 200, 255):
        assert first("external", (3563, condition)).endswith(f": external condition {condition}")
    assert first("final_or", (0,)) == "final OR"
    for name, count in ugt.OBJECTS.items():
        for index, bit in ((0, 0), (1, 13), (count - 1, 63 if name == "muons" else 31)):
            assert first(name, (5, index), bit).startswith(f"{name[:-1]}[{index}]: ")
    kinds = {kind.name: kind for kind in spec.objects().types}
    assert first("jets", (5, 2), kinds["jet"].pt.low) == "jet[2]: hw_pt"
    assert first("muons", (5, 3), kinds["muon"].eta.low) == "muon[3]: hw_eta"
    assert first("jets", (5, 11), 0) == "jet[11]: bit 0", "not read by ad40"
    assert first("sums", (5, 2), kinds["met"].phi.low) == "sum[2]: hw_phi"


def test_other_lanes_are_refused(board: Trigger, codes: np.ndarray) -> None:
    good = answer(board, codes[:4], "ugt240")
    arrays = {name: getattr(good, name) for name in ("data", *FLAGS)}
    for other, message in (
        (
            patterns.Pattern(**arrays, links=(3,), board="ad40"),
            r"e: links is \(3,\); expected \(0,\), as for the inputs",
        ),
        (patterns.Pattern(**arrays, links=(0,), board="ad41"), "e: ID is ad41; expected ad40"),
        (good.at(slice(0, 18)), "e: clocks is 18; expected 24"),
        (patterns.Pattern(**arrays, links=(0,), board="ad40", strobe=good.valid), "e: strobe is in the file"),
    ):
        with pytest.raises(InputError, match=message):
            expect.compare_patterns(Path("e"), other, good, board, 6)


def test_scores(rtl_trigger: Trigger, codes: np.ndarray, tmp_path: Path) -> None:
    """Every bit of every value of an event; attributes, types and rows that do not belong are refused."""
    path, board, n = tmp_path / "scores.h5", rtl_trigger, 500
    score = board.score(codes[:n])
    decision = MenuState(board.menu).decide(score)
    wanted = {"hw_score": score[:, 0], "hw_score_test": score[:, 1]}
    wanted |= {"seeds_before": seed_bits(decision.seeds_before), "seeds_after": seed_bits(decision.seeds_after)}

    def write(**changed: np.ndarray) -> h5py.File:
        with h5py.File(path, "w") as file:
            for name, column in (wanted | changed).items():
                file[name] = column
            file.attrs.update(expect.score_attributes(board))
        return h5py.File(path, "a")

    def compared() -> expect.Differences:
        with expect.open_scores(path, board, n) as scores:
            for start in range(0, n, 200):
                scores.compare(start, {name: column[start : start + 200] for name, column in wanted.items()})
            return scores.differences

    write().close()
    assert (compared().rows, compared().wrong) == (n, 0)
    names = [seed.name for seed in board.menu.seeds]
    for name, column in wanted.items():
        for bit in range(32):
            changed = column.copy()
            changed.view(np.uint32)[321] ^= np.uint32(1 << bit)
            write(**{name: changed}).close()
            found = compared()
            assert (found.wrong, len(found.first)) == (1, 1)
            seed = f"seed {names[bit]}" if bit < len(names) else f"bit {bit}"
            field = name if name.startswith("hw_score") else f"{name}: {seed}"
            assert (found.first[0].place, found.first[0].field) == ("event 321", field)

    def without(file: h5py.File) -> None:
        del file["hw_score_test"]

    for change, kind, message in (
        (without, InputError, "scores.h5: datasets is hw_score, seeds_after, seeds_before; expected "),
        (lambda f: f.create_dataset("l1a", data=[1]), InputError, "scores.h5: datasets is "),
        (lambda f: f.attrs.update(menu_hash="00"), HashMismatch, "scores.h5: menu_hash is 00; expected "),
        (lambda f: f.attrs.update(score_fractions=[4, 4]), HashMismatch, r"scores.h5: score_fractions is \[4, 4\]"),
        (lambda f: f.attrs.pop("seeds"), HashMismatch, "scores.h5: seeds is None"),
    ):
        with write() as file:
            change(file)
        with pytest.raises(kind, match=message), expect.open_scores(path, board, n):
            pass
    for name, data in (("hw_score", score[:, 0].astype(np.int64)), ("seeds_after", wanted["seeds_after"][1:])):
        write(**{name: data}).close()
        with (
            pytest.raises(InputError, match=f"scores.h5: {name} is .* a row for each event"),
            expect.open_scores(path, board, n),
        ):
            pass
