"""The device against a board in memory: it refuses the wrong one, loads, switches columns, reads counters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ad40.device import Device
from ad40.errors import CheckError, HashMismatch, InputError, SpecError
from ad40.menu import Menu, ModelRef, Rule, Seed
from ad40.model import Trigger
from ad40.registers import trigger_map
from tests.conftest import make_network
from tests.fake_board import FakeBoard, holdings


@pytest.fixture(scope="module")
def trigger() -> Trigger:
    """Two networks, four seeds, two columns, a veto, a rule and a seed for one BX only."""
    one, two = (replace(make_network(i), name=f"net{i}") for i in (1, 2))
    seeds = (
        Seed("A", "net1", 50, (1.0, 2.5)),
        Seed("B", "net1", 70, (1.0, 0.0), enabled=False),
        Seed("C", "net2", 60, (3.0, 7.25), veto=True),
        Seed("D", "net2", 90, bx=((10, 20),), prescales=(1.0, 1.0)),
    )
    models = tuple(ModelRef(network.name, network.hash) for network in (one, two))
    menu = Menu(models, one.spec_hash, seeds, ("low", "high"), (Rule(1, 3), Rule(3, 100)))
    return Trigger((one, two), menu)


@pytest.fixture
def board(trigger: Trigger) -> FakeBoard:
    map = trigger_map(trigger)
    return FakeBoard(map, holdings(trigger, map))


def device(board: FakeBoard, trigger: Trigger, timeout_s: float = 30.0) -> Device:
    return Device(board, trigger, timeout_s=timeout_s, poll_s=0.0)


def test_the_right_board_is_taken(board: FakeBoard, trigger: Trigger) -> None:
    device(board, trigger).check()


@pytest.mark.parametrize(
    ("constant", "label"),
    [("SPEC_HASH", "spec_hash"), ("MENU_HASH", "menu_hash"), ("NETWORK_HASH", "network_hash[1]")],
)
def test_another_hash_is_refused_and_both_are_named(constant: str, label: str, trigger: Trigger) -> None:
    map = trigger_map(trigger)
    constants = holdings(trigger, map)
    constants[constant] ^= 1 << (511 if constant == "NETWORK_HASH" else 255)
    board = FakeBoard(map, constants)
    ours = {"spec_hash": trigger.menu.spec_hash, "menu_hash": trigger.menu.hash}.get(label, trigger.networks[1].hash)
    theirs = f"{int(ours, 16) ^ 1 << 255:064x}"
    for action in (Device.check, Device.load, lambda d: d.switch_column("high")):
        with pytest.raises(HashMismatch) as error:
            action(device(board, trigger))
        message = str(error.value)
        assert label in message and ours in message and theirs in message
    assert not board.strobes and not board.bx_mask, "nothing may be written to the wrong board"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("magic", 0xDEADBEEF, "magic is 0xdeadbeef; expected 0x41443430, an ad40 board"),
        ("layout", 1, "layout is 0x00000001"),
        ("n_seeds", 5, "n_seeds is 5; expected 4"),
        ("n_models", 1, "n_models is 1; expected 2"),
        ("n_lanes", 7, "n_lanes is 7; expected 6"),
    ],
)
def test_another_board_is_refused(name: str, value: int, message: str, board: FakeBoard, trigger: Trigger) -> None:
    board.words[board.map[name].address] = value
    with pytest.raises(InputError) as error:
        device(board, trigger).check()
    assert message in str(error.value)


def test_a_bus_without_a_board(board: FakeBoard, trigger: Trigger) -> None:
    board.at.clear()
    with pytest.raises(InputError, match="magic is not readable .*SLVERR"):
        device(board, trigger).check()


def test_load_at_the_next_lumi_section(board: FakeBoard, trigger: Trigger) -> None:
    map = board.map
    for name in ("threshold", "prescale", "mask", "veto", "rule_window"):
        for i in range(map[name].entries):
            board.words[map[name].word_address(i)] = 1
    board.live = before = board._shadows()
    board.words[map["update_mode"].address] = 1
    board_device = device(board, trigger)
    board_device.load("high")
    assert board.live == before and board.pending, "nothing is in force before the boundary"
    orbit = board_device.wait()
    assert orbit == board.orbit == 8 and not board.pending
    assert board.live == {
        "threshold": [50, 70, 60, 90],
        "prescale": [250, 0, 725, 100],
        "mask": [0b1101],
        "veto": [0b0100],
        "rule_window": [3, 0, 100, 0],
    }
    assert board.strobes == ["update"] and board.words[map["update_mode"].address] == 0
    rows = [board.bx_mask[bx] for bx in range(3564)]
    assert rows == [0b1111 if 10 <= bx <= 20 else 0b0111 for bx in range(3564)]


def test_load_now_takes_the_first_column(board: FakeBoard, trigger: Trigger) -> None:
    device(board, trigger).load(now=True)
    assert board.live["prescale"] == [100, 100, 300, 100] and board.strobes == ["update_now"]


def test_load_now_does_not_wait_for_a_run(board: FakeBoard, trigger: Trigger) -> None:
    board_device = device(board, trigger, timeout_s=0.0)
    board_device.load("high")
    board.patience = 1 << 30
    board_device.load("low", now=True)
    assert board.live["prescale"] == [100, 100, 300, 100] and not board.pending


def test_switching_columns_never_mixes_two_sets(board: FakeBoard, trigger: Trigger) -> None:
    board_device = device(board, trigger)
    board_device.switch_column("high")
    assert board.pending
    board_device.switch_column("low")  # waits until "high" is in force
    assert board.live["prescale"] == [250, 0, 725, 100] and board.pending
    board_device.wait()
    assert board.live["prescale"] == [100, 100, 300, 100]
    assert board.strobes == ["update", "update"]


def test_an_unknown_column_is_refused_before_any_access(board: FakeBoard, trigger: Trigger) -> None:
    board.at.clear()
    for action in (Device.load, Device.switch_column):
        with pytest.raises(SpecError, match="'?medium'?; expected one of low, high"):
            action(device(board, trigger), "medium")


def test_an_update_that_never_comes(board: FakeBoard, trigger: Trigger) -> None:
    board_device = device(board, trigger, timeout_s=0.0)
    board_device.switch_column("high")
    board.patience = 1 << 30
    with pytest.raises(CheckError, match="still pending after 0 s"):
        board_device.switch_column("low")
    assert [board.words[board.map["prescale"].word_address(i)] for i in range(4)] == [250, 0, 725, 100]


def test_a_register_that_does_not_keep_its_value(board: FakeBoard, trigger: Trigger) -> None:
    board.stuck.add("prescale")
    with pytest.raises(CheckError, match=r"prescale\[0\] reads 100 after 250 was written"):
        device(board, trigger).switch_column("high")
    assert not board.strobes


def test_counters_of_one_moment(board: FakeBoard, trigger: Trigger) -> None:
    map = board.map
    board.running = {map["cnt_l1a"].address: 5, map["cnt_before"].word_address(2): 9}
    found = device(board, trigger).counters()
    assert found["cnt_l1a"] == 5 and found["cnt_before"] == [0, 0, 9, 0] and found["cnt_late"] == [0] * 6
    assert set(found) == {r.name for r in map.registers if r.access == "counter"}
    board.running[map["cnt_l1a"].address] = 6
    assert device(board, trigger).counters(snapshot=False)["cnt_l1a"] == 5
    assert board.strobes == ["snapshot"]


def test_counters_latched_while_they_are_read(board: FakeBoard, trigger: Trigger) -> None:
    """A lumi section starts after the first counters were read: all of them are read again."""
    map = board.map
    board.running = {map["cnt_slots"].address: 100, map["cnt_missing"].word_address(5): 100}
    board_device = device(board, trigger)
    board_device.counters()
    board.running = {map["cnt_slots"].address: 200, map["cnt_missing"].word_address(5): 200}
    board.boundary_after = 8
    found = board_device.counters(snapshot=False)
    assert (found["cnt_slots"], found["cnt_missing"]) == (200, [0, 0, 0, 0, 0, 200])


def test_a_bx_mask_of_another_shape(board: FakeBoard, trigger: Trigger) -> None:
    with pytest.raises(InputError, match=r"BX mask is bool of shape \(3564, 3\); expected bool of shape \(3564, 4\)"):
        device(board, trigger).set_bx_mask(np.ones((3564, 3), np.bool_))
