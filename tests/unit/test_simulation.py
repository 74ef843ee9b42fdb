"""What the benches of the whole block rest on, without a simulator: the reference of links and menu, stimulus,
coverage, and how a difference is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import frames, objects, spec
from ad40.emulator import Emulator
from ad40.errors import Ad40Error, CheckError
from ad40.menu import Menu, MenuState, ModelRef, Rule, Seed
from ad40.model import Trigger
from ad40.network import Network
from sim import lanes, vectors
from sim.coverage import Coverage, declare
from sim.expect import FLAGS, HEADER, UPDATE_NOW, Change, Expected, check_emulator, expect, live_of, steady, timeline
from sim.reference import CORRUPTED, GOOD, LATE, MISSING, Lines, decide, receive
from sim.scoreboard import (
    Observed,
    compare,
    compare_counters,
    expected_columns,
    first_difference,
    read_fields,
    read_hex,
)
from sim.simulate import random_words

PER_BX, ORBIT, LANES = 6, 40, 6


@pytest.fixture
def trigger(network: Network) -> Trigger:
    seeds = (Seed("a", "test", 100, (1.0,)), Seed("b", "test", 150, (2.37,)), Seed("c", "test", 250, (1.5,)))
    return Trigger((network,), Menu((ModelRef("test", network.hash),), network.spec_hash, seeds))


def words_of(n: int, seed: int = 1) -> np.ndarray:
    return random_words(n, np.random.default_rng(seed))


def all_on() -> list[bool]:
    return [True] * LANES


def laid(n: int, seed: int = 1) -> Lines:
    return lanes.lay(words_of(n, seed), PER_BX, ORBIT, np.random.default_rng(seed))


def test_good_lanes_give_the_events_that_were_laid_on_them() -> None:
    rng = np.random.default_rng(1)
    lines = lanes.join([lanes.silence(17, LANES, rng), laid(3 * ORBIT)])
    found = receive(lines, all_on(), PER_BX, ORBIT)
    assert np.array_equal(found.words, words_of(3 * ORBIT)) and not found.bad.any()
    assert found.clock[0] == 17 + PER_BX - 1 and found.orbit[-1] == 2 and found.bx[-1] == ORBIT - 1


@pytest.mark.parametrize(
    ("kind", "classes"),
    [("error", CORRUPTED), ("gone", MISSING), ("hole", MISSING), ("no sof", LATE), ("extra sof", LATE), ("early soo", LATE),
     ("late", LATE), ("all gone", MISSING)],
)  # fmt: skip
def test_each_kind_of_fault_is_one_class(kind: str, classes: int) -> None:
    lines = laid(3 * ORBIT)
    lanes.hurt(lines, 2, 50, kind, PER_BX, ORBIT, np.random.default_rng(3))
    found = receive(lines, all_on(), PER_BX, ORBIT)
    assert found.frame[50, 2] == classes and (found.frame[:50] == GOOD).all()
    assert (found.frame[50, :2] == (MISSING if kind == "all gone" else GOOD)).all()
    late = classes == LATE
    assert (found.frame[51 : 2 * ORBIT, 2] == (LATE if late else GOOD)).all(), "out of step up to the orbit start"
    assert (found.frame[2 * ORBIT :] == GOOD).all(), "and back with it: events are never moved"
    met = objects.unpack(found.words[50:51])[0]
    assert not met[1:5].any(), "lane 2 carries the e/gamma, absent in a bad frame"
    assert np.array_equal(found.words[2 * ORBIT :], words_of(3 * ORBIT)[2 * ORBIT :])


def test_a_missing_orbit_start_unaligns_for_one_orbit() -> None:
    lines = laid(3 * ORBIT)
    lanes.hurt(lines, 4, ORBIT + 3, "no soo", PER_BX, ORBIT, np.random.default_rng(3))
    found = receive(lines, all_on(), PER_BX, ORBIT)
    assert (found.frame[ORBIT : 2 * ORBIT, 4] == LATE).all() and (found.frame[2 * ORBIT :, 4] == GOOD).all()


def test_a_resync_cuts_a_frame_and_counts_an_orbit() -> None:
    cut = lanes.realign(laid(6 * ORBIT), PER_BX, ORBIT, [(50, 2), (3 * ORBIT + 5, 0)])
    found = receive(cut, all_on(), PER_BX, ORBIT)
    assert found.resyncs == (50 * PER_BX + 2, 50 * PER_BX + 2 + (ORBIT + 5) * PER_BX)
    assert not found.bad.any()
    assert found.orbit[49] == 1 and (found.bx[50], found.orbit[50]) == (0, 2)
    second = int(np.flatnonzero(found.clock > found.resyncs[1])[0])
    assert (found.bx[second], found.orbit[second]) == (0, 4) and found.bx[second - 1] == 4


def test_disabled_lanes_are_absent_and_silent() -> None:
    lines = laid(2 * ORBIT)
    lines.error[:, 1] = True
    enable = [i != 1 for i in range(LANES)]
    found = receive(lines, enable, PER_BX, ORBIT)
    assert not found.bad.any() and not objects.unpack(found.words)[:, 7:9].any(), "muon 2 and 3 travel on lane 1"
    assert len(receive(lines, [False] * LANES, PER_BX, ORBIT).bx) == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), configuration=st.sampled_from(["ugt240", "ugt360"]))
def test_the_receiver_of_pattern_files_follows_the_same_rules(seed: int, configuration: str) -> None:
    """Two implementations by two authors, on faults of every kind."""
    latency, rng = spec.latency(configuration), np.random.default_rng(seed)
    good = lanes.lay(random_words(latency.orbit_bx + 700, rng), latency.clocks_per_bx, latency.orbit_bx, rng)
    lines = lanes.injure(good, latency.clocks_per_bx, latency.orbit_bx, rng, 0.004, first=1)
    pattern = frames.Pattern(
        lines.data.astype(np.uint64), lines.valid, lines.soo, lines.sof, np.zeros_like(lines.sof), lines.error,
        links=tuple(range(LANES)),
    )  # fmt: skip
    mine, other = receive(lines, all_on(), latency.clocks_per_bx, latency.orbit_bx), frames.receive(pattern)
    assert np.array_equal(mine.words, other.words) and np.array_equal(mine.frame, other.faults)
    assert mine.bad.any() and not mine.bad.all()


def test_playback_file_of_the_lanes(tmp_path: Path) -> None:
    lines = replace(laid(2), l1a=np.arange(2 * PER_BX) % 5 == 0)
    lanes.hurt(lines, 3, 1, "error", PER_BX, ORBIT, np.random.default_rng(1))
    lanes.write(tmp_path / "lines.bin", lines)
    raw = (tmp_path / "lines.bin").read_bytes()
    size = lanes.line_bytes(LANES)
    assert len(raw) == size * len(lines)
    for clock in range(len(lines)):
        value = int.from_bytes(raw[clock * size : (clock + 1) * size], "big")
        assert [value >> 32 * lane & 0xFFFFFFFF for lane in range(LANES)] == lines.data[clock].tolist()
        flags = value >> 32 * LANES
        for i, name in enumerate(lanes.FLAGS):
            bits = [bool(flags >> (i * LANES + lane) & 1) for lane in range(LANES)]
            assert bits == getattr(lines, name)[clock].tolist(), name
        assert bool(flags >> 4 * LANES & 1) == lines.l1a[clock] and not flags >> (4 * LANES + 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    factors=st.lists(st.sampled_from([0, 100, 101, 237, 399, 1000]), min_size=3, max_size=3),
    windows=st.lists(st.integers(0, 12), min_size=0, max_size=4),
    masked=st.integers(0, 7),
    veto=st.integers(0, 7),
)  # fmt: skip
def test_the_reference_and_the_emulator_of_the_menu_agree(
    seed: int, factors: list[int], windows: list[int], masked: int, veto: int
) -> None:
    rng, n = np.random.default_rng(seed), 400
    rising = np.cumsum(windows)
    rules = tuple(Rule(i + 1, int(window)) for i, window in enumerate(rising) if window)
    seeds = tuple(
        Seed(
            f"s{i}",
            ("x", "y")[i % 2],
            20 * i,
            (factor / 100,),
            not masked >> i & 1,
            bool(veto >> i & 1),
            bx=((3, 300),) if i else (),
        )
        for i, factor in enumerate(factors)
    )
    menu = Menu((ModelRef("x", ""), ModelRef("y", "")), "", seeds, rules=rules)
    scores = rng.integers(0, 60, (n, 2)).astype(np.int32)
    bad, busy = rng.random(n) < 0.1, rng.random(n) < 0.2
    found = MenuState(menu).decide(scores, bad, busy)
    mine = decide(scores, menu.seed_models, np.arange(n), bad, busy, [(0, live_of(menu))])
    assert np.array_equal(found.seeds_before, mine.before) and np.array_equal(found.seeds_after, mine.after)
    assert np.array_equal(found.request, mine.request) and np.array_equal(found.l1a, mine.l1a)


def test_updates_come_into_force_where_they_must(trigger: Trigger) -> None:
    menu = trigger.menu
    old, new = live_of(menu), live_of(replace(menu, rules=(Rule(1, 3),)))
    n = 200
    out, bx, orbit = np.arange(n) + 12, np.arange(n) % 40, np.arange(n) // 40
    at = int(out[80]) - HEADER  # the last clock in which the header of BX 0 of orbit 2 still sees a request
    for line, mode, slot in ((at, 0, 80), (at + 1, 0, 160), (at + 1, 1, 120), (9, 1, 40)):
        live, restarts = timeline([Change(line, "update", new, mode)], out, bx, orbit, 1, old)
        assert live == [(0, old), (slot, new)] and restarts == [slot]
    live, restarts = timeline([Change(50, "update_now", new)], out, bx, orbit, 1, old)
    assert live[1] == (50 + UPDATE_NOW - 12, new)
    both = [Change(at, "update", new, 0), Change(at + 2, "update_now", old)]
    assert [slot for slot, _ in timeline(both, out, bx, orbit, 1, old)[0]] == [0, 80, 81]
    early = [Change(20, "update", new, 0), Change(30, "update_now", new)]
    assert [slot for slot, _ in timeline(early, out, bx, orbit, 1, old)[0]] == [0, 30 + UPDATE_NOW - 12]
    assert timeline([Change(20, "prescale_rst", old)], out, bx, orbit, 1, old) == ([(0, old)], [40])


def test_resets_drop_what_is_in_flight_and_restart_the_prescales(trigger: Trigger) -> None:
    run = steady(
        "reset", words_of(60), replace(trigger.menu, seeds=tuple(replace(s, threshold=0) for s in trigger.menu.seeds))
    )
    run.flags["rst"] = np.arange(60) == 30
    expected = expect(run, trigger, latency=12)
    assert expected.rejected == 11, "events of the last 11 clocks before the reset; that at the reset never went in"
    assert expected.line.tolist() == [*range(19), *range(31, 60)]
    third = np.flatnonzero(expected.decided.after[:19, 2])
    assert third.tolist() == [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17], "one of 1.5, from the start"


def test_the_emulator_is_held_against_the_reference(trigger: Trigger) -> None:
    run = steady("x", words_of(300), trigger.menu)
    expected = expect(run, trigger, 12)
    wrong = replace(trigger.menu, rules=(Rule(1, 200),))
    with pytest.raises(CheckError, match="emulator != reference of the bench in l1a"):
        check_emulator("x", wrong, {0: 0}, expected)


def test_playback_file_of_the_core(trigger: Trigger, tmp_path: Path) -> None:
    run = steady("x", words_of(3), trigger.menu, first_bx=3563)
    run.flags.update({"error": np.array([True, False, False]), "rst": np.array([False, False, True])})
    vectors.write_run(tmp_path / "run.bin", run)
    raw, size = (tmp_path / "run.bin").read_bytes(), vectors.LINE_BITS // 8
    assert len(raw) == size * (vectors.preamble(run) + 3)
    row = int.from_bytes(raw[7 * size : 8 * size], "big")
    assert row & 7 == 7 and row >> 768 & 0xFFFF == 7 and row >> 784 == 1 << FLAGS.index("bx_mask_we")
    rows = [int.from_bytes(raw[i * size : (i + 1) * size], "big") for i in range(3564, 3567)]
    assert [r >> 784 for r in rows] == [3, 1, 1 | 1 << FLAGS.index("rst")]
    assert [r >> 768 & 0xFFFF for r in rows] == [3563, 0, 1] and [r >> 736 & 0xFFFFFFFF for r in rows] == [0, 1, 1]
    low = 0
    for word, kind in zip(run.words[0].tolist(), spec.objects().slots, strict=True):
        assert rows[0] >> low & ((1 << kind.word_bits) - 1) == word
        low += kind.word_bits


def test_edge_vectors_reach_every_bit_of_every_field(network: Network) -> None:
    codes = vectors.edge_codes(Emulator(network))
    words = objects.pack(codes)
    assert np.array_equal(objects.unpack(words), codes), "all codes fit their fields"
    field = objects.pack(np.full((1, 19, 3), -1, np.int32))[0]
    assert np.array_equal(np.bitwise_or.reduce(words), field), "each bit is set once"
    assert np.array_equal(np.bitwise_or.reduce(~words) & field, field), "and cleared once"
    here = objects.present(codes)
    assert (here.sum(axis=1) == 0).any() and (here.sum(axis=1) == 19).any()
    inputs = Emulator(network).inputs(codes)
    fmt = network.input.format
    assert inputs.min() == fmt.min_code and inputs.max() == fmt.max_code, "the input stage clips at both ends"


def test_noise_leaves_the_codes_alone() -> None:
    rng = np.random.default_rng(1)
    words = np.zeros((200, 19), np.uint64)
    noisy = lanes.noise_bits(words, rng)
    assert not objects.unpack(noisy).any() and noisy.any(axis=0).all()
    narrow = [kind.word_bits == 32 for kind in spec.objects().slots]
    assert (noisy[:, narrow] >> np.uint64(32) == 0).all()


def pair(trigger: Trigger, n: int = 50) -> tuple[Expected, Observed]:
    expected = expect(steady("x", words_of(n), trigger.menu), trigger, 12)
    columns = {name: column.copy() for name, column in expected_columns(expected).items()}
    return expected, Observed(expected.line + 12, columns)


def test_the_scoreboard_says_what_differs_and_where(trigger: Trigger) -> None:
    expected, observed = pair(trigger)
    assert compare("x", expected, observed, 12).ok
    score = int(observed.columns["m_scores"][3, 0])
    observed.columns["m_scores"][3, 0] += 1
    assert compare("x", expected, observed, 12, place="BX").first == (
        f"RTL != emulator: 1/50; first at orbit 0 BX 3, m_score[0] {score + 1} vs {score}"
    )
    observed.columns["m_l1a"][1] ^= 1
    assert "2/50; first at event 1, m_l1a" in compare("x", expected, observed, 12).first


def test_the_scoreboard_counts_decisions_that_are_missing_or_late(trigger: Trigger) -> None:
    expected, observed = pair(trigger)
    short = Observed(observed.line[:49], {name: column[:49] for name, column in observed.columns.items()})
    assert compare("x", expected, short, 12).first == "RTL != emulator: 1/50; 49 decisions came out, 50 were expected"
    late = replace(observed, line=observed.line + (np.arange(50) == 7))
    result = compare("x", expected, late, 12)
    assert result.latency == (12, 13) and "first at event 7, decision after 13 clocks, 12 expected" in result.first


def test_counters_are_compared_as_they_wrap() -> None:
    assert compare_counters({"cnt": [5]}, {"cnt": [261]}, 8) == []
    assert compare_counters({"cnt": [6, 0]}, {"cnt": [261, 0]}, 8) == [
        "RTL != emulator: cnt[0] 6 vs 5 (261 counted, 8 bits)"
    ]


def test_recorded_files(tmp_path: Path) -> None:
    file = tmp_path / "r.hex"
    file.write_text("0000000a000000ff\nffffffff00000001\n")
    assert read_hex(file, 2).tolist() == [[10, 255], [0xFFFFFFFF, 1]]
    file.write_text("1f\n")
    assert read_fields(file, 2, 3, signed=False).tolist() == [[3, 3, 1]]
    assert read_fields(file, 2, 3, signed=True).tolist() == [[-1, -1, 1]]


def test_first_difference_names_the_field() -> None:
    wanted = np.zeros((3, 57), np.int64)
    found = wanted.copy()
    found[1, 3 * 11 + 2] = 144
    assert first_difference(found, wanted, "{slot}.hw_{feature}") == (1, "event 1, jet[2].hw_phi 144 vs 0")
    assert first_difference(wanted, wanted, "") == (0, "")


def test_coverage_counts_merges_and_tells_what_is_missing() -> None:
    cover = declare(["tight"], ["jet0"], ["cnt_slots"])
    cover.hit("seed tight", "fired", 3)
    cover.merge({"seed tight": {"fired": 2}, "lane jet0": {"late": 1}})
    assert cover.counts["seed tight"]["fired"] == 5
    assert "seed tight: fired" not in cover.missing() and "seed tight: was masked" in cover.missing()
    assert "at zero: lane jet0: missing" in cover.table() and "1/8" in cover.table()
    for group, name in (("seed tight", "no such bin"), ("no such group", "fired")):
        with pytest.raises(Ad40Error, match="coverage has no bin"):
            cover.hit(group, name)
    assert Coverage({"a": ("b",)}).missing() == ["a: b"]
