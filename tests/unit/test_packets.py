"""Readout packets: layout, every corruption refused by packet and byte, and the record that comes of them."""

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad40 import objects, packets, readout
from ad40.emulator import Emulator
from ad40.errors import HashMismatch, InputError, SpecError
from ad40.events import write_hw_sample
from ad40.files import file_hash
from ad40.menu import Decision, Menu, MenuState, ModelRef, Rule, Seed, seed_bits
from ad40.model import Trigger
from ad40.packets import Packets, encode_packets, read_packets
from ad40.trigger import trigger
from tests.conftest import make_network, random_events


@pytest.fixture(scope="module")
def board(codes: np.ndarray) -> Trigger:
    """Two networks side by side under a menu with prescales, a veto, a disabled seed, BX ranges and rules."""
    networks = (make_network(1), replace(make_network(2), name="second"))
    cut = [[int(c) for c in np.quantile(Emulator(network).score(codes), (0.5, 0.8, 0.97))] for network in networks]
    seeds = (
        Seed("A0", "test", cut[0][0], (2.37,), bx=((10, 3000),)),
        Seed("A1", "test", cut[0][1]),
        Seed("A2", "test", cut[0][2], veto=True, enabled=False),
        Seed("B0", "second", cut[1][0], (0.0,)),
        Seed("B1", "second", cut[1][1], (3.5,)),
    )
    models = tuple(ModelRef(network.name, network.hash) for network in networks)
    return Trigger(networks, Menu(models, networks[0].spec_hash, seeds, rules=(Rule(1, 3), Rule(2, 12))))


def accepted(board: Trigger, codes: np.ndarray) -> tuple[Packets, Decision]:
    """The packets that the board must send for these events, one for each BX."""
    score = board.score(codes)
    decision = MenuState(board.menu).decide(score)
    rows = np.flatnonzero(decision.l1a)
    sent = Packets(
        bx=(rows % 3564).astype(np.uint16),
        orbit=(rows // 3564).astype(np.uint32),
        l1a=np.arange(1, len(rows) + 1, dtype=np.uint32),
        flags=np.zeros(len(rows), np.uint16),
        words=objects.pack(codes[rows]),
        hw_score=score[rows],
        seeds_before=seed_bits(decision.seeds_before[rows]),
        seeds_after=seed_bits(decision.seeds_after[rows]),
    )
    return sent, decision


def counters_of(board: Trigger, decision: Decision, source: dict[str, object], run: int) -> readout.Counters:
    before, after = decision.seeds_before.sum(axis=0), decision.seeds_after.sum(axis=0)
    return readout.Counters(run, len(decision.l1a), before, after, source)


def random_packets(n: int, models: int, seed: int) -> Packets:
    rng = np.random.default_rng(seed)
    words = objects.pack(objects.encode(random_events(n, seed + 1)).codes)
    # bits outside pt, eta and phi travel too
    words[:, 1:5] |= np.where(words[:, 1:5] > 0, rng.integers(0, 4, (n, 4), np.uint64) << np.uint64(25), np.uint64(0))
    masks = rng.integers(0, 32, (2, n)).astype(np.uint32)
    return Packets(
        rng.integers(0, 3564, n).astype(np.uint16), rng.integers(0, 2**32, n).astype(np.uint32),
        rng.integers(0, 2**32, n).astype(np.uint32), rng.integers(0, 8, n).astype(np.uint16), words,
        rng.integers(0, 2**31, (n, models)).astype(np.int32), *masks,
    )  # fmt: skip


def same(a: Packets, b: Packets) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in Packets.__dataclass_fields__]
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


def test_layout(board: Trigger) -> None:
    codes = np.zeros((1, 19, 3), np.int32)
    codes[0, 0] = 100, 0, 17  # MET
    codes[0, 6] = 40, -3, 500  # muon[1]
    codes[0, 18] = 33, -100, 143  # jet[9]
    words = objects.pack(codes)
    one = Packets(
        np.array([3563], np.uint16), np.array([7], np.uint32), np.array([12], np.uint32), np.array([3], np.uint16),
        words, np.array([[1234, 5]], np.int32), np.array([0b10011], np.uint32), np.array([0b00010], np.uint32),
    )  # fmt: skip
    data = encode_packets(one, 0xCAFE1234)
    found = struct.unpack(f"<{len(data) // 4}I", data)
    muon = int(words[0, 6])
    content = [
        0xAD401203, 0xCAFE1234, 12, 7, 3563 << 20 | 1 | 1 << 6 | 1 << 18, 0b10011, 0b00010, 1234, 5,
        int(words[0, 0]), muon & 0xFFFFFFFF, muon >> 32, int(words[0, 18]),
    ]  # fmt: skip
    assert list(found[:-1]) == content
    assert found[-1] == zlib.crc32(struct.pack(f"<{len(content)}I", *content))
    assert found[9] == 100 | 17 << 12
    assert struct.unpack("<I", data[40:44])[0] >> 10 & 0x1FF == 40


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**31))
def test_round_trip(board: Trigger, n: int, seed: int) -> None:
    sent = random_packets(n, 2, seed)
    data = encode_packets(sent, board.design_id)
    assert same(read_packets(data, board), sent)


def test_many_packets(board: Trigger, tmp_path: Path) -> None:
    sent = random_packets(100_000, 2, 5)
    (tmp_path / "p.bin").write_bytes(encode_packets(sent, board.design_id))
    assert same(read_packets(tmp_path / "p.bin", board), sent)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_corruption_is_refused(board: Trigger, data: st.DataObject) -> None:
    """Any bits of up to four neighbouring bytes flipped: CRC-32 finds every burst of up to 32 bits."""
    sent = encode_packets(random_packets(5, 2, 9), board.design_id)
    at = data.draw(st.integers(0, len(sent) - 4))
    burst = data.draw(st.integers(1, 2**32 - 1))
    broken = bytearray(sent)
    broken[at : at + 4] = (int.from_bytes(sent[at : at + 4], "little") ^ burst).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"packets: packet [0-4] at byte \d+") as error:
        read_packets(bytes(broken), board)
    assert packet_starts(sent, at) in str(error.value) or packet_starts(sent, at + 3) in str(error.value)


def packet_starts(sent: bytes, at: int) -> str:
    """`packet N at byte M` of the packet that byte `at` belongs to."""
    starts = [i for i in range(0, len(sent), 4) if sent[i + 2 : i + 4] == b"\x40\xad" and sent[i + 1] == 0x12]
    number = max(i for i, start in enumerate(starts) if start <= at)
    return f"packet {number} at byte {starts[number]}"


def test_every_truncation_is_refused(board: Trigger) -> None:
    sent = encode_packets(random_packets(4, 2, 9), board.design_id)
    whole = {len(encode_packets(random_packets(4, 2, 9), board.design_id))}
    for size in range(len(sent)):
        try:
            assert len(read_packets(sent[:size], board)) < 4
            whole.add(size)  # cut between packets: what is there is whole
        except InputError as error:
            assert "packets: packet " in str(error) and "at byte" in str(error)
    assert len(whole) == 5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100), st.integers(0, 100))
def test_any_bytes_are_read_or_refused(board: Trigger, junk: bytes, at: int, cut: int) -> None:
    sent = encode_packets(random_packets(2, 2, 9), board.design_id)
    for data in (junk, sent[:at] + junk + sent[at:], sent[:at] + junk + sent[at + cut :]):
        try:
            read_packets(data, board)
        except InputError as error:
            assert "packet " in str(error)


def test_what_is_wrong_is_named(board: Trigger, tmp_path: Path) -> None:
    good = random_packets(3, 2, 9)
    sent = encode_packets(good, board.design_id)
    first = len(encode_packets(good.at(slice(1)), 0))

    def patched(offset: int, value: int) -> bytes:
        return sent[: first + offset] + bytes([value]) + sent[first + offset + 1 :]

    path, place = tmp_path / "run.bin", f"packet 1 at byte {first}"
    cases = [
        (patched(3, 0xAE), f"{place}, marker is 0xae40; expected 0xad40"),
        (patched(1, 0x22), f"{place}, version is 2; expected 1"),
        (patched(1, 0x13), f"{place}, models is 3; expected 2, those of the trigger"),
        (patched(0, 0x88), f"{place}, flags is 0x88; expected bits of 0x07 only"),
        (patched(36, sent[first + 36] ^ 1), f"{place}, CRC is 0x"),
        (sent[: first + 24], f"{place} is 24 bytes; expected at least 40: it is cut short"),
        (sent[: first + 42], f"{place} is 42 bytes; expected "),
        (sent + b"\0\0", f"packet 3 at byte {len(sent)} is 2 bytes; expected whole words"),
        (encode_packets(replace(good, bx=good.bx // 8 + np.uint16(3564)), board.design_id), "packet 0 at byte 0, BX is beyond 3563"),
        (encode_packets(replace(good, hw_score=good.hw_score * 0 - 1), board.design_id), "score is beyond 31 bits"),
        (encode_packets(replace(good, seeds_after=good.seeds_after | np.uint32(32)), board.design_id),
         "seeds is a bit beyond the menu; expected 5 seeds"),
    ]  # fmt: skip
    for data, message in cases:
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            read_packets(path, board)
        assert message in str(error.value) and str(error.value).startswith(str(path))
    path.write_bytes(encode_packets(good, board.design_id ^ 1))
    with pytest.raises(
        HashMismatch,
        match=f"packet 0 at byte 0, design is {board.design_id ^ 1:#010x}; expected {board.design_id:#010x}",
    ):
        read_packets(path, board)
    # a right CRC over an object that the mask lists and whose pt is 0, or whose angle does not exist
    words = good.words.copy()
    words[1, 18] = objects.pack(np.full((1, 19, 3), 5, np.int32))[0, 18]
    data = bytearray(encode_packets(replace(good, words=words), board.design_id))
    last = first + len(encode_packets(replace(good, words=words).at(slice(1, 2)), 0)) - 8
    for word, message in ((0x8000, "object is present with pt 0"), (200 << 19 | 5, "object is phi beyond its steps")):
        data[last : last + 4] = word.to_bytes(4, "little")
        data[last + 4 : last + 8] = zlib.crc32(data[first : last + 4]).to_bytes(4, "little")
        with pytest.raises(InputError, match=f"{place}, {message}"):
            read_packets(bytes(data), board)
    with pytest.raises(InputError, match="nowhere.bin: file is"):
        read_packets(tmp_path / "nowhere.bin", board)
    with pytest.raises(InputError, match="bx is .*; expected a number of 12 bits"):
        encode_packets(replace(good, bx=good.bx + np.uint16(4096)), 0)
    with pytest.raises(InputError, match="models is 16"):
        encode_packets(random_packets(2, 16, 1), 0)


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with h5py.File(path) as file:
        data = {name: item[()] for name, item in file.items()}
        layout = {f"{name} layout": f"{item.dtype} {item.chunks} {item.compression}" for name, item in file.items()}
        return data, layout | {name: str(value) for name, value in file.attrs.items()}


def test_the_record_of_packets_is_that_of_the_trigger(board: Trigger, tmp_path: Path) -> None:
    codes = objects.encode(random_events(20_000, seed=8)).codes
    write_hw_sample(tmp_path / "events.h5", codes, attributes={"seed": 8})
    trigger(tmp_path / "events.h5", board, tmp_path / "trigger.h5", run_number=42)
    sent, decision = accepted(board, codes)
    assert 500 < len(sent) < 15_000 and int(sent.orbit.max()) == 5
    (tmp_path / "p.bin").write_bytes(encode_packets(sent, board.design_id))
    source = {
        "file": "events.h5",
        "sha256": file_hash(tmp_path / "events.h5"),
        "events": len(codes),
        "attributes": {"seed": 8},
    }
    counters = counters_of(board, decision, source, 42)
    (tmp_path / "c.json").write_text(json.dumps(counters.to_dict(board.menu)))
    read = read_packets(tmp_path / "p.bin", board)
    assert readout.lost_events(read) == 0
    readout.write_record(tmp_path / "readout.h5", read, readout.read_counters(tmp_path / "c.json", board.menu), board)
    left, right = contents(tmp_path / "trigger.h5"), contents(tmp_path / "readout.h5")
    assert left[1] == right[1]
    assert left[0].keys() == right[0].keys() and "hw_score_second" in left[0]
    for name, data in left[0].items():
        assert np.array_equal(data, right[0][name]) and len(data) == len(sent), name


def test_lost_events(board: Trigger, codes: np.ndarray) -> None:
    sent, _ = accepted(board, codes)
    keep = np.ones(len(sent), np.bool_)
    keep[[0, 7, 8, 30]] = False

    def kept(flags: np.ndarray) -> Packets:
        return replace(sent.at(keep), flags=flags)

    flags = np.zeros(int(keep.sum()), np.uint16)
    with pytest.raises(InputError, match="packet 0, number of the accept is 2 after 0 without the overflow flag"):
        readout.lost_events(kept(flags))
    flags[[0, 6, 27]] = packets.FLAGS["overflow"]
    assert readout.lost_events(kept(flags)) == 4
    flags[3] = packets.FLAGS["overflow"]
    with pytest.raises(InputError, match="packet 3, number of the accept is 5 after 4 with the overflow flag"):
        readout.lost_events(kept(flags))
    order = np.arange(len(sent))
    order[[5, 6]] = 6, 5
    swapped = sent.at(order)
    with pytest.raises(InputError, match="packet 6, orbit and BX is .*; expected later than"):
        readout.lost_events(swapped)
    wrapped = replace(sent, l1a=sent.l1a + np.uint32(2**32 - 5), flags=sent.flags.copy())
    wrapped.flags[0] = packets.FLAGS["overflow"]
    assert readout.lost_events(wrapped) == 2**32 - 5
    assert readout.lost_events(sent.at(slice(0))) == 0


def test_counters_that_do_not_fit(board: Trigger, codes: np.ndarray, tmp_path: Path) -> None:
    _, decision = accepted(board, codes)
    good = counters_of(board, decision, {}, 1).to_dict(board.menu)
    edits: list[tuple[dict[str, object], str]] = [
        ({"events_seen": -1}, "events_seen is -1; expected an integer from 0"),
        ({"run": 2**32}, "run is 4294967296"),
        ({"source": "x"}, "source is 'x'; expected a mapping"),
        ({"extra": 1}, "extra is an unknown key"),
        ({"seeds": good["seeds"][:-1]}, "expected the 5 seeds of the menu"),
        ({"seeds": good["seeds"][::-1]}, r"seeds\[0\].name is 'B1'; expected 'A0', as in the menu"),
        ({"seeds": [good["seeds"][0] | {"after": 10**9}, *good["seeds"][1:]]}, r"seeds\[0\].after is 1000000000"),
    ]
    for change, message in edits:
        (tmp_path / "c.json").write_text(json.dumps(good | change))
        with pytest.raises(SpecError, match=message):
            readout.read_counters(tmp_path / "c.json", board.menu)
