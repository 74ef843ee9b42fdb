"""Pattern files: round trips, faults refused by line, and frames received as the firmware receives them."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ad40 import objects, patterns, spec, ugt
from ad40.errors import InputError
from ad40.menu import Decision
from ad40.patterns import FAULTS, Pattern
from sim import reference
from tests.conftest import random_events

LANES = len(spec.links().lanes)
LATENCIES = ["ugt240", "ugt360"]


@lru_cache
def event_words(n: int = 40, seed: int = 3) -> np.ndarray:
    return objects.pack(objects.encode(random_events(n, seed)).codes)


def random_pattern(
    seed: int, clocks: int, links: tuple[int, ...], strobe: bool = False, error: bool = False
) -> Pattern:
    rng = np.random.default_rng(seed)
    shape = (clocks, len(links))
    planes = [rng.random(shape) < 0.5 for _ in range(6)]
    return Pattern(
        rng.integers(0, 2**64, shape, np.uint64), *planes[:4], planes[4] & error, links, "x0", planes[5] if strobe else None
    )  # fmt: skip


def random_vectors(seed: int = 1) -> ugt.Vectors:
    """Vectors of random bits in every column, all of them."""
    rng, n = np.random.default_rng(seed), spec.latency().orbit_bx
    arrays: dict[str, Any] = {"muons": rng.integers(0, 2**64, (n, 8), np.uint64)}
    arrays |= {name: rng.integers(0, 2**32, (n, 12), np.uint64) for name in ("egammas", "taus", "jets", "sums")}
    arrays |= {"external": rng.random((n, 256)) < 0.5, "algorithms": rng.random((n, 512)) < 0.5}
    return ugt.Vectors(**arrays, final_or=rng.random(n) < 0.5)


def write_any(path: Path, form: str) -> bytes:
    """A valid file of a format; its text."""
    if form == "ugt":
        patterns.write(path, random_vectors())
    else:
        patterns.write(path, random_pattern(1, 12, (0, 4, 7), strobe=form == "emp", error=form == "apx"), form)
    return path.read_bytes()


# -- round trips


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32), st.integers(1, 40), st.lists(st.integers(0, 999), min_size=1, max_size=5, unique=True),
    st.sampled_from(["emp", "emp strobe", "apx"]), st.sampled_from(["", ".gz"]),
)  # fmt: skip
def test_round_trip_is_the_identity(
    tmp_path: Path, seed: int, clocks: int, links: list[int], kind: str, end: str
) -> None:
    form, _, strobe = kind.partition(" ")
    pattern = random_pattern(seed, clocks, tuple(links), bool(strobe), error=form == "apx")
    if form == "apx":
        pattern = replace(pattern, board="")
    path, again = tmp_path / f"a{end}", tmp_path / f"b{end}"
    patterns.write(path, pattern, form)
    found, read = patterns.read_any(path)
    assert found == form and read == pattern
    patterns.write(again, read, form)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_vectors_round_trip(tmp_path: Path, newline: str) -> None:
    vectors = replace(random_vectors(), newline=newline)
    patterns.write(tmp_path / "a.gz", vectors)
    form, read = patterns.read_any(tmp_path / "a.gz")
    assert form == "ugt" and read == vectors
    lines = gzip.decompress((tmp_path / "a.gz").read_bytes()).decode().split(newline)
    assert len(lines) == 3565
    columns = lines[77].split(" ")
    assert len(columns) == 60 and columns[0] == "0077"
    assert int(columns[58], 16) >> 5 & 1 == vectors.algorithms[77, 5]
    assert int(columns[57], 16) >> 255 & 1 == vectors.external[77, 255]
    assert int(columns[9], 16) == vectors.egammas[77, 0] and int(columns[56], 16) == vectors.sums[77, 11]


def test_the_real_orbit(reference_data: Path, tmp_path: Path) -> None:
    source = reference_data / "ugt_orbit_adt_v6.txt.gz"
    vectors = patterns.read(source)
    assert isinstance(vectors, ugt.Vectors)
    patterns.write(tmp_path / "orbit.txt", vectors)
    assert (tmp_path / "orbit.txt").read_bytes() == gzip.decompress(source.read_bytes())
    # the loosest anomaly seed of that menu implies the final OR; lanes carry the same objects
    assert vectors.final_or[vectors.algorithms[:, 3]].all() and 0 < vectors.final_or.sum() < len(vectors)
    words, bad = patterns.to_words(vectors)
    assert not bad.any()
    for name in LATENCIES:
        received, bad = patterns.to_words(patterns.from_words(words, spec.latency(name)))
        assert not bad.any() and np.array_equal(objects.unpack(received), objects.unpack(words))


def test_vectors_carry_the_19_objects() -> None:
    words = event_words(3564)
    vectors = ugt.from_words(words)
    assert np.array_equal(ugt.to_words(vectors), words)
    assert np.array_equal(vectors.sums[:, 2], words[:, 0]) and not vectors.sums[:, [0, 1, 3]].any()
    assert np.array_equal(vectors.muons[:, :4], words[:, 5:9]) and not vectors.muons[:, 4:].any()
    rng = np.random.default_rng(1)
    before, request = rng.random((3564, 3)) < 0.5, rng.random(3564) < 0.5
    decided = ugt.with_decision(random_vectors(), Decision(before, ~before, request, ~request))
    assert np.array_equal(decided.algorithms[:, :3], before) and not decided.algorithms[:, 3:].any()
    assert np.array_equal(decided.final_or, request)
    assert np.array_equal(decided.taus, random_vectors().taus)
    with pytest.raises(InputError, match="bunch crossings is 40; expected 3564"):
        ugt.from_words(event_words())


# -- frames


@pytest.mark.parametrize("name", LATENCIES)
def test_lanes_carry_events(name: str) -> None:
    latency, words = spec.latency(name), event_words(4000)
    n = latency.clocks_per_bx
    pattern = patterns.from_words(words, latency)
    assert pattern.data.shape == (4000 * n, LANES) and pattern.valid.all() and not pattern.error.any()
    assert np.flatnonzero(pattern.start_of_orbit.all(axis=1)).tolist() == [0, 3564 * n]
    for flag, offset in ((pattern.start_of_packet, 0), (pattern.end_of_packet, n - 1)):
        assert np.array_equal(np.flatnonzero(flag.all(axis=1)), np.arange(4000) * n + offset)
        assert flag.sum() == 4000 * LANES
    frames = pattern.data.reshape(4000, n, LANES)
    assert not frames[:, : n - 6].any()  # idle words first
    muon0 = [lane.name for lane in spec.links().lanes].index("muon0")
    assert np.array_equal(frames[:, n - 2, muon0], words[:, 6] & 0xFFFFFFFF)  # muon[1].low: last but one
    assert np.array_equal(frames[:, n - 1, muon0], words[:, 6] >> 32)
    received, bad = patterns.to_words(pattern)
    assert np.array_equal(received, words) and not bad.any()
    # in front of the start of orbit nothing is received; one frame is enough
    whole = pattern.at(slice(n, 2 * n)), pattern.at(slice(0, n))
    joined = replace(pattern, **{f: np.concatenate([getattr(p, f) for p in whole]) for f in (
        "data", "valid", "start_of_orbit", "start_of_packet", "end_of_packet", "error")})  # fmt: skip
    assert np.array_equal(patterns.to_words(joined)[0], words[:1])


def test_clocks_without_strobe_are_left_out() -> None:
    """Six words per BX in a file of nine clocks per BX: every third clock repeats."""
    pattern = patterns.from_words(event_words(), spec.latency("ugt240"))
    new = np.tile([True, True, False], len(pattern) // 2)
    slots = np.cumsum(new) - 1
    slow = replace(pattern.at(slots), strobe=np.repeat(new[:, None], LANES, axis=1))
    assert np.array_equal(patterns.to_words(slow)[0], event_words())
    mixed = slow.strobe.copy()
    mixed[5, 2] ^= True
    with pytest.raises(InputError, match="strobe at clock 5 is different from link to link"):
        patterns.to_words(replace(slow, strobe=mixed))


def faults_of(pattern: Pattern) -> dict[tuple[int, int], str]:
    names = {code: name for name, code in FAULTS.items()}
    faults = patterns.receive(pattern).faults
    return {(int(b), int(lane)): names[int(faults[b, lane])] for b, lane in np.argwhere(faults)}


def change(pattern: Pattern, field: str, clock: int, lane: int, value: bool) -> Pattern:
    array = getattr(pattern, field).copy()
    array[clock, lane] = value
    return replace(pattern, **{field: array})


@pytest.mark.parametrize("name", LATENCIES)
def test_each_fault_of_a_frame(name: str) -> None:
    latency = spec.latency(name)
    n, words = latency.clocks_per_bx, event_words(7200)
    good = patterns.from_words(words, latency)
    assert faults_of(good) == {}
    at = 50 * n
    assert faults_of(change(good, "error", at + 2, 1, True)) == {(50, 1): "corrupted"}
    assert faults_of(change(good, "valid", at + n - 1, 3, False)) == {(50, 3): "missing"}
    # a start at a wrong place or none: late, until the lane shows the next start of orbit
    for field, clock, value in (
        ("start_of_packet", at, False), ("start_of_packet", at + 3, True),
        ("start_of_orbit", at, True), ("start_of_orbit", at + n - 1, True),
    ):  # fmt: skip
        broken = change(good, field, clock, 4, value)
        assert faults_of(broken) == {(bx, 4): "late" for bx in range(50, 3564)}
        received, bad = patterns.to_words(broken)
        # later events never move, and the other lanes' objects of the same events are whole
        assert np.array_equal(received[3564:], words[3564:]) and np.array_equal(received[:50], words[:50])
        assert np.array_equal(received[50:3564, :15], words[50:3564, :15]) and not received[50:3564, 15:].any()
        assert np.array_equal(np.flatnonzero(bad), np.arange(50, 3564))
    # an orbit start that is missing
    assert faults_of(change(good, "start_of_orbit", 3564 * n, 0, False)) == {
        (bx, 0): "late" for bx in range(3564, 7128)
    }
    # a broken word says nothing about alignment
    broken = change(change(good, "start_of_packet", at + 3, 2, True), "error", at + 3, 2, True)
    assert faults_of(broken) == {(50, 2): "corrupted"}


@pytest.mark.parametrize("name", LATENCIES)
def test_faults_as_in_the_reference_of_the_simulation(name: str) -> None:
    latency, seen, resyncs = spec.latency(name), np.zeros(4, np.int64), 0
    good = patterns.from_words(event_words(3600), latency)
    start = 3540 * latency.clocks_per_bx  # faults around the start of the second orbit; before it all is good
    for seed in range(30):
        rng, pattern = np.random.default_rng(seed), good
        rate = 10 ** rng.uniform(-3, -1.5)
        for field, share in (("valid", 1), ("error", 0.2), ("start_of_packet", 0.2), ("start_of_orbit", 0.05)):
            array = getattr(pattern, field).copy()
            array[start:] ^= rng.random(array[start:].shape) < rate * share
            pattern = replace(pattern, **{field: array})
        lines = reference.Lines(
            pattern.data.astype(np.uint32), pattern.valid, pattern.start_of_orbit, pattern.start_of_packet,
            pattern.error, np.zeros(len(pattern), np.bool_),
        )  # fmt: skip
        expected = reference.receive(lines, [True] * LANES, latency.clocks_per_bx, latency.orbit_bx)
        if expected.resyncs:
            resyncs += 1
            with pytest.raises(InputError, match="start of orbit at clock"):
                patterns.receive(pattern)
            continue
        found = patterns.receive(pattern)
        codes = [reference.GOOD, reference.CORRUPTED, reference.LATE, reference.MISSING]
        for code, fault in zip(codes, (0, FAULTS["corrupted"], FAULTS["late"], FAULTS["missing"]), strict=True):
            assert np.array_equal(found.faults == fault, expected.frame == code)
        assert np.array_equal(found.words, expected.words) and np.array_equal(found.bad, expected.bad)
        seen += np.bincount(found.faults[3540:].ravel(), minlength=4)
    assert (seen > 10).all() and resyncs < 5


@pytest.mark.parametrize("name", LATENCIES)
def test_the_output_lane(name: str) -> None:
    latency, rng, n = spec.latency(name), np.random.default_rng(2), 3600
    before, after = rng.random((n, 3)) < 0.5, rng.random((n, 3)) < 0.2
    request, l1a, bad = (rng.random(n) < 0.5 for _ in range(3))
    scores = rng.integers(0, 2**20, (n, 2)).astype(np.int32)
    lane = patterns.from_decisions(Decision(before, after, request, l1a), scores, latency, bad)
    assert lane.links == (0,) and np.flatnonzero(lane.start_of_orbit).tolist() == [0, 3564 * latency.clocks_per_bx]
    frames = lane.data.reshape(n, latency.clocks_per_bx)
    assert not frames[:, :-6].any() and not frames[:, -1].any()
    head = frames[:, -6].astype(np.int64)
    assert np.array_equal(head & 0xFFF, np.arange(n) % 3564)
    for bit, flag in ((31, l1a), (30, bad), (29, request)):
        assert np.array_equal(head >> bit & 1, flag)
    bits = np.array([1, 2, 4])
    assert np.array_equal(frames[:, -5], before @ bits) and np.array_equal(frames[:, -4], after @ bits)
    assert np.array_equal(frames[:, -3:-1], scores)
    with pytest.raises(InputError, match="models is 4; expected at most 3"):
        patterns.from_decisions(Decision(before, after, request, l1a), np.zeros((n, 4), np.int32), latency)


def test_patterns_that_no_event_comes_out_of() -> None:
    good = patterns.from_words(event_words(), spec.latency("ugt240"))
    cases: list[tuple[Pattern, str]] = [
        (random_pattern(1, 10, (0, 1)), "links is 2; expected 6: lanes muon0, muon1, egamma0"),
        (change(good, "start_of_orbit", 0, 3, False), "start of orbit is at no clock in all links"),
        (good.at(slice(0, 5)), "frame at clock 0 is 5 words; expected 6 or more"),
        (good.at(slice(0, 63)), "is 10 whole frames of 6 and 3 words more; expected whole frames"),
    ]
    orbit = good.start_of_orbit.copy()
    orbit[60] = True
    cases.append(
        (replace(good, start_of_orbit=orbit), "start of orbit at clock 60 is after 60 clocks; expected a multiple")
    )
    data = good.data.copy()
    data[31, 2] = 1 << 32
    cases.append((replace(good, data=data), "clock 31, link 2 is 0x0000000100000000; expected a word of 32 bits"))
    for pattern, message in cases:
        with pytest.raises(InputError, match=message) as error:
            patterns.to_words(pattern, "lanes.txt")
        assert str(error.value).startswith("lanes.txt: ")
    with pytest.raises(InputError, match="at least one clock"):
        patterns.from_words(event_words()[:0], spec.latency())


# -- malformed files


def line_edit(number: int, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(text: bytes) -> bytes:
        lines = text.split(b"\n")
        assert old in lines[number - 1], lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        return b"\n".join(lines)

    return edit


MALFORMED: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("emp", lambda t: b"", r"line 1, text is the end of the file; expected 'ID: ...' \(EMPv2\)"),
    ("emp", line_edit(1, b"ID", b"Id"), "line 1, text is 'Id: x0'; expected 'ID: ...'"),
    ("emp", line_edit(2, b"valid", b"foo"), "line 2, metadata is .*; expected 'Metadata: "),
    ("emp", line_edit(4, b"Link", b"Lanes"), "line 4, line is .*; expected 'Link 000 001 ...'"),
    ("emp", line_edit(4, b"004", b"000"), "line 4, link is '000'; expected .* each once"),
    ("emp", lambda t: b"\n".join(t.split(b"\n")[:4]), "line 4, text is the end of the file; expected 'Frame 0000 ...'"),
    ("emp", line_edit(9, b"Frame 0004", b"Frame 0005"), "line 9, frame is 5; expected 4: clocks in order"),
    ("emp", line_edit(9, b"Frame", b"Fromage"), "line 9, line is 'Fromage'; expected 'Frame'"),
    ("emp", lambda t: t[:-4], "line 16, word of link 007 is '.{13}'; expected 16 hexadecimal digits"),
    ("emp", lambda t: t[:-25], "line 16, columns is 6; expected 8"),
    ("emp", lambda t: t.rstrip(b"\n") + b" 1", "line 16, columns is 9; expected 8"),
    ("emp", line_edit(7, b"    ", b"  2"), "line 7, flags of link 000 is '2[01]{5}'; expected 5 digits 0 or 1"),
    ("apx", line_edit(1, b"ON", b"OFF"), "line 1, line is '#Sideband OFF'; expected '#Sideband ON'"),
    ("apx", line_edit(2, b"LINK_04", b"LANE_04"), "line 2, link is 'LANE_04'; expected LINK_"),
    ("apx", line_edit(3, b"#BeginData", b"#Data"), "line 3, line is '#Data'; expected '#BeginData'"),
    ("apx", lambda t: b"\n".join(t.split(b"\n")[:3]), "line 3, text is the end of the file; expected a row"),
    ("apx", line_edit(5, b"0x0001", b"0x0000"), "line 5, row is 0; expected 1"),
    ("apx", line_edit(5, b"    0x", b"    0x2"), "line 5, sideband of link 00 is '0x2..'; expected 0x00 to 0x1f"),
    ("apx", lambda t: t.replace(b"0x", b"0y", 1), "line 4, row is '0y0000'; expected 0x and its number"),
    ("apx", lambda t: t[:-3] + b"\xff\x00\n", r"line 15, word of link 07 is '0x.{14}\\xff\\x00'; expected 0x and 16"),
    ("ugt", lambda t: t[: 769 * 9], "line 9, BX is 8, the last one; expected 3563: one whole orbit"),
    ("ugt", lambda t: t[769:], "line 1, BX is 1; expected 0: every BX in order"),
    ("ugt", lambda t: t[: 769 * 100] + t[769 * 101 :], "line 101, BX is 101; expected 100"),
    ("ugt", line_edit(12, b" ", b" g"), "line 12, muon 0 is 'g.{16}'; expected 16 hexadecimal digits"),
    ("ugt", lambda t: t.replace(b" 1\n", b" 2\n", 1), "line .*, final OR is '2'; expected 0 or 1"),
    ("ugt", lambda t: t[:100], "line 1, .*; expected"),
    ("ugt", lambda t: b"hello\n" + t, "line 1, text is 'hello'; expected 'ID: ...'"),
]  # fmt: skip


@pytest.mark.parametrize("form, edit, message", MALFORMED, ids=[f"{m[0]}{i}" for i, m in enumerate(MALFORMED)])
def test_malformed_files_are_refused_by_line(
    form: str, edit: Callable[[bytes], bytes], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "pattern.txt"
    path.write_bytes(edit(write_any(path, form)))
    with pytest.raises(InputError, match=message) as error:
        patterns.read(path)
    assert str(error.value).startswith(f"{path}: line ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: file is No such file"):
        patterns.read(tmp_path / "nowhere")
    path = tmp_path / "a.gz"
    text = write_any(path, "apx")
    for broken in (text[:60], text[:-8] + b"\0" * 8, text[:30] + b"\xff" * 9 + text[39:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="gzip data is unreadable"):
            patterns.read(path)


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    lanes = random_pattern(1, 8, (0, 3), error=True)
    for patterns_, form, message in (
        (lanes, "emp", "error flag at clock .* is set on link .*; expected none"),
        (random_pattern(1, 8, (0,), strobe=True), "apx", "strobe is in the patterns; expected none"),
        (lanes, "ugt", "format is ugt; expected one that holds lanes"),
        (random_vectors(), "apx", "format is apx; expected one that holds the vectors"),
        (lanes, "mp7", "format is mp7"),
    ):
        with pytest.raises(InputError, match=message):
            patterns.write(tmp_path / "a.txt", patterns_, form)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="links is"):
        replace(lanes, links=(3, 3))
    with pytest.raises(InputError, match="valid is"):
        replace(lanes, valid=lanes.valid[:-1])
    with pytest.raises(InputError, match="board is 'a.nb'"):
        replace(lanes, board="a\nb")


def mutate(text: bytes, rng: np.random.Generator, times: int) -> bytes:
    """Bytes changed, taken away, put in and doubled; lines moved; the end cut off."""
    for _ in range(times):
        at, kind = int(rng.integers(0, len(text) + 1)), int(rng.integers(0, 6))
        size = int(rng.choice([1, 1, 2, 5, 20, 200]))
        some = bytes(rng.choice(np.frombuffer(b"01f \n\r\t\x0b#FLx:\x00\xff", np.uint8), size).tolist())
        if kind == 0:
            text = text[:at] + some + text[at + size :]
        elif kind == 1:
            text = text[:at] + text[at + size :]
        elif kind == 2:
            text = text[:at] + some + text[at:]
        elif kind == 3:
            text = text[:at] + text[max(at - size, 0) :]
        elif kind == 4:
            lines = text.split(b"\n")
            lines.insert(int(rng.integers(0, len(lines))), lines.pop(int(rng.integers(0, len(lines)))))
            text = b"\n".join(lines)
        else:
            text = text[:at]
    return text


@pytest.mark.parametrize("form, examples", [("emp", 400), ("apx", 400), ("ugt", 25)])
def test_mutated_files_parse_or_are_refused_by_line(form: str, examples: int, tmp_path: Path) -> None:
    good, path = write_any(tmp_path / "good", form), tmp_path / "mutated"
    refused = 0

    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.integers(0, 2**32), st.integers(1, 3))
    def check(seed: int, times: int) -> None:
        nonlocal refused
        path.write_bytes(mutate(good, np.random.default_rng(seed), times))
        try:
            found, read = patterns.read_any(path)
        except InputError as error:
            refused += 1
            assert "line " in str(error) or "gzip" in str(error)
            return
        patterns.write(path, read, found)
        assert patterns.read(path) == read

    check()
    assert refused > examples // 3
