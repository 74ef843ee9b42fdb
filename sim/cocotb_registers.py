"""cocotb test of the generated registers.sv: every register and every address against the register map, with random
gaps on all five channels and the AXI4-Lite rules checked at every clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cocotb

from ad40.registers import ALL_ONES, LATCHES, LAYOUT, Register, register_map
from sim.bench import GAPS, PACKAGE, draw, edge, gaps, settle, start

MAP = register_map(*(PACKAGE[name] for name in ("N_SEEDS", "N_MODELS", "N_LANES", "THRESHOLD_BITS")))
OKAY, SLVERR = 0, 2
CHANNELS = ("aw", "w", "b", "ar", "r")
OUTPUTS = tuple(
    f"s_axi_{name}" for name in ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")
)
INPUTS = tuple(f"s_axi_{c}{kind}" for c in ("aw", "ar") for kind in ("addr", "valid"))
INPUTS += tuple(f"s_axi_{name}" for name in ("wdata", "wstrb", "wvalid", "bready", "rready"))
PULSES = tuple(r.name for r in MAP.registers if r.access == "wo") + tuple(r.strobe for r in MAP.registers if r.strobe)
WORDS = {r.word_address(word): (r, word) for r in MAP.registers for word in range(r.entries)}
WRITABLE = {at: found for at, found in WORDS.items() if found[0].access == "rw"}
COMMANDS = {r.address: r for r in MAP.registers if r.access == "wo"}
ADDRESSES = range(0, 1 << MAP.address_bits, 4)


def packed(register: Register) -> int:
    """What reset or the compiler puts into a register, entry 0 lowest."""
    content = register.reset if register.reset is not None else register.value
    if content == LAYOUT:
        return MAP.layout_id
    if content == ALL_ONES:
        return register.mask
    if content == LATCHES:
        return 0
    return int(PACKAGE[content] if isinstance(content, str) else content or 0)


def initial(register: Register, word: int) -> int:
    return packed(register) >> register.bits * word & register.mask


@dataclass
class Job:
    """A transaction; response and data once it is done. allowed: what a read may find."""

    address: int
    data: int = 0
    strobe: int = 15
    response: int = -1
    allowed: set[int] = field(default_factory=set)


class Bus:
    """A master with one write and one read under way, and a model of what the registers hold.

    A channel goes on by itself: the next address may be offered while the last response is not yet taken.
    """

    def __init__(self, dut: Any, kind: str, name: object) -> None:
        self.dut = dut
        self.rng = draw("registers", kind, name)
        self.idle: dict[str, Iterator[bool]] = {channel: gaps(kind, self.rng) for channel in CHANNELS}
        self.writes: list[Job] = []
        self.reads: list[Job] = []
        self.done = dict.fromkeys(CHANNELS, 0)  # transfers
        self.held = dict.fromkeys(CHANNELS, False)  # valid was high without ready
        self.model = {at: initial(r, word) for at, (r, word) in WORDS.items()}
        self.pulses: Counter[str] = Counter()
        self.rows: list[tuple[int, int]] = []  # writes of the BX mask
        self.reset = False

    async def start(self) -> None:
        """Inputs at values of their own, reset."""
        pins = dict.fromkeys(INPUTS, 0)
        for register in MAP.registers:
            if register.port is not None and register.access in ("ro", "counter"):
                pins[register.port] = self.rng.getrandbits(register.bits * register.entries)
                for word in range(register.entries):
                    value = pins[register.port] >> register.bits * word & register.mask
                    self.model[register.word_address(word)] = value if register.access == "ro" else 0
        await start(self.dut, pins | {"lumi_start": 0})
        self.outputs = self._outputs()

    def _outputs(self) -> list[str]:
        return [str(self.dut[name].value) for name in (*OUTPUTS, *PULSES)]

    def _drive(self, channel: str, jobs: list[Job], ahead: int) -> bool:
        """Offer the next transfer of a master's channel, or go on offering it."""
        at = self.done[channel]
        offer = at < min(len(jobs), ahead) and (self.held[channel] or not next(self.idle[channel]))
        self.dut[f"s_axi_{channel}valid"].value = int(offer)
        job = jobs[at] if offer else Job(self.rng.getrandbits(MAP.address_bits), self.rng.getrandbits(32), 15)
        if channel == "w":
            self.dut.s_axi_wdata.value, self.dut.s_axi_wstrb.value = job.data, job.strobe
        else:
            self.dut[f"s_axi_{channel}addr"].value = job.address
        return offer

    async def step(self) -> None:
        """One clock."""
        dut, done = self.dut, self.done
        valid = {
            "aw": self._drive("aw", self.writes, done["b"] + 2),
            "w": self._drive("w", self.writes, done["b"] + 2),
            "ar": self._drive("ar", self.reads, done["r"] + 2),
        }
        ready = {name: not next(self.idle[name]) for name in ("b", "r")}
        dut.s_axi_bready.value, dut.s_axi_rready.value = int(ready["b"]), int(ready["r"])
        dut.rst.value = int(self.reset)
        await settle()
        assert self._outputs() == self.outputs, "a path leads from an input to an output"
        valid |= {name: bool(dut[f"s_axi_{name}valid"].value) for name in ("b", "r")}
        ready |= {name: bool(dut[f"s_axi_{name}ready"].value) for name in ("aw", "w", "ar")}
        assert not valid["b"] or done["b"] < min(done["aw"], done["w"]), "a response without address or data"
        assert not valid["r"] or done["r"] < done["ar"], "read data without an address"
        assert not ready["aw"] or done["aw"] == done["b"], "a second write address is taken"
        assert not ready["w"] or done["w"] == done["b"], "second write data are taken"
        assert not ready["ar"] or done["ar"] == done["r"], "a second read address is taken"
        if done["r"] < done["ar"]:
            self._allow(self.reads[done["r"]])
        for pulse in PULSES:
            self.pulses[pulse] += int(dut[pulse].value)
        if dut.bx_mask_we.value:
            self.rows.append((int(dut.cfg_bx_mask_addr.value), int(dut.cfg_bx_mask_data.value)))
        waiting = {name: (int(dut[f"s_axi_{name}resp"].value), int(dut.s_axi_rdata.value) if name == "r" else 0)
                   for name in ("b", "r") if valid[name] and not ready[name]}  # fmt: skip
        for name in CHANNELS:
            self.held[name] = valid[name] and not ready[name] and not self.reset
            if valid[name] and ready[name] and not self.reset:
                if name == "b":
                    self._written(self.writes[done["b"]], int(dut.s_axi_bresp.value))
                elif name == "r":
                    self._read(self.reads[done["r"]], int(dut.s_axi_rresp.value), int(dut.s_axi_rdata.value))
                done[name] += 1
                if name == "ar":
                    self._allow(self.reads[done["r"]])
        was_reset = self.reset
        await edge(dut)
        self.outputs = self._outputs()
        for name, payload in waiting.items():
            if not was_reset:
                assert dut[f"s_axi_{name}valid"].value, f"{name}valid dropped before {name}ready"
                now = (int(dut[f"s_axi_{name}resp"].value), int(dut.s_axi_rdata.value) if name == "r" else 0)
                assert now == payload, f"payload of {name} changed before {name}ready"

    def _after(self, job: Job) -> int | None:
        """What a register reads after a write; None where nothing is to be written."""
        at = job.address & ~3
        if at not in WRITABLE:
            return None
        mask = sum(0xFF << 8 * i for i in range(4) if job.strobe >> i & 1)
        return (self.model[at] & ~mask | job.data & mask) & WRITABLE[at][0].mask

    def _allow(self, read: Job) -> None:
        """A read may find what is there, or what the write under way leaves."""
        at = read.address & ~3
        read.allowed.add(self.model.get(at, -1))
        begun = min(self.done["aw"], self.done["w"])
        for write in self.writes[self.done["b"] : begun]:
            if write.address & ~3 == at and at in WRITABLE:
                read.allowed.add(self._after(write) or 0)

    def _written(self, job: Job, response: int) -> None:
        job.response = response
        at = job.address & ~3
        known = at in WRITABLE or at in COMMANDS
        assert response == (OKAY if known else SLVERR), f"response {response} to a write of {at:#x}"
        value = self._after(job)
        if value is not None:
            self.model[at] = value

    def _read(self, job: Job, response: int, data: int) -> None:
        job.response, job.data = response, data
        at = job.address & ~3
        known = at in WORDS and at not in COMMANDS
        assert response == (OKAY if known else SLVERR), f"response {response} to a read of {at:#x}"
        allowed = job.allowed if known else {0}
        assert data in allowed, f"{data:#x} read at {at:#x}, expected one of {sorted(map(hex, allowed))}"

    async def finish(self) -> None:
        """Until all transactions are done."""
        left = 400 * (len(self.writes) - self.done["b"] + len(self.reads) - self.done["r"] + 1)
        while self.done["b"] < len(self.writes) or self.done["r"] < len(self.reads):
            await self.step()
            left -= 1
            assert left, f"the bus hangs: {self.done}"
        for _ in range(3):
            await self.step()

    async def write(self, address: int, data: int, strobe: int = 15) -> int:
        self.writes.append(Job(address, data, strobe))
        await self.finish()
        return self.writes[-1].response

    async def read(self, address: int) -> int:
        self.reads.append(Job(address))
        await self.finish()
        return self.reads[-1].data

    def check_ports(self) -> None:
        """Every setting on its port, entry 0 in the lowest bits."""
        for register in MAP.registers:
            if register.access == "rw":
                wanted = sum(self.model[register.word_address(i)] << register.bits * i for i in range(register.entries))
                found = int(self.dut[str(register.port)].value)
                assert found == wanted, f"{register.port} is {found:#x}, expected {wanted:#x}"


async def make(dut: Any, kind: str, name: object) -> Bus:
    bus = Bus(dut, kind, name)
    await bus.start()
    return bus


@cocotb.test()
async def after_reset(dut: Any) -> None:
    """Every address is read: constants, reset values, inputs as they are; nothing elsewhere. Ports agree."""
    bus = await make(dut, "never", "reset")
    bus.check_ports()
    bus.reads += [Job(at | bus.rng.randrange(4)) for at in ADDRESSES]  # the two lowest bits do not count
    await bus.finish()
    assert sum(job.response == OKAY for job in bus.reads) == len(WORDS) - len(COMMANDS)
    assert not +bus.pulses


@cocotb.test()
@cocotb.parametrize(kind=("never", "half", "bursts"))
async def write_and_read_back(dut: Any, kind: str) -> None:
    """Each register twice, all bits each way, then everything once more: a write reaches no other register."""
    bus = await make(dut, kind, "walk")
    for at, (register, _) in WRITABLE.items():
        value = bus.rng.getrandbits(32)
        for data in (value, value ^ 0xFFFFFFFF):
            await bus.write(at, data)
            assert await bus.read(at) == data & register.mask
    bus.check_ports()
    bus.reads += [Job(at) for at in WORDS]
    await bus.finish()
    assert bus.pulses == Counter({"bx_mask_we": 2})


@cocotb.test()
async def byte_strobes(dut: Any) -> None:
    bus = await make(dut, "rare", "bytes")
    for at, (register, word) in WRITABLE.items():
        for strobe in range(16) if word == 0 else (1, 2, 4, 8, 6, 9):
            await bus.write(at, bus.rng.getrandbits(32), strobe)
            assert await bus.read(at) == bus.model[at] <= register.mask
    bus.check_ports()
    assert bus.pulses == Counter({"bx_mask_we": 15})  # not by a write without a byte


@cocotb.test()
async def refused(dut: Any) -> None:
    """A write of anything that cannot be written: SLVERR, and nothing changes."""
    bus = await make(dut, "never", "refused")
    bus.writes += [Job(at, bus.rng.getrandbits(32)) for at in ADDRESSES if at not in WRITABLE and at not in COMMANDS]
    assert len(bus.writes) > 800
    await bus.finish()
    assert all(job.response == SLVERR for job in bus.writes) and not +bus.pulses
    bus.check_ports()
    bus.reads += [Job(at) for at in WORDS]
    await bus.finish()


@cocotb.test()
async def commands(dut: Any) -> None:
    """A command is one clock wide, only with bit 0 set and its byte written, and wakes no other."""
    bus = await make(dut, "half", "commands")
    sent: Counter[str] = Counter()
    for repeat in range(3):
        for at, register in COMMANDS.items():
            for data, strobe in ((1, 15), (0xFFFFFFFF, 1), (0xFFFFFFFE, 15), (0xFFFFFFFF, 14), (1, 0)):
                assert await bus.write(at, data, strobe) == OKAY
                sent[register.name] += data & strobe & 1
                assert bus.pulses == sent, f"repeat {repeat}, {register.name} {data:#x} {strobe:#x}: {bus.pulses}"
                bus.model[MAP["latches"].address] = sent["snapshot"]
    for register in MAP.registers:
        if register.access == "counter":
            for word in range(register.entries):
                at = register.word_address(word)
                bus.model[at] = int(dut[register.name].value) >> 32 * word & 0xFFFFFFFF
    bus.reads += [Job(at) for at in WORDS]
    await bus.finish()


@cocotb.test()
async def rows_of_the_bx_mask(dut: Any) -> None:
    """Each write of the data strobes once, with the address and the data of that moment on the ports."""
    bus = await make(dut, "rare", "rows")
    sent = [(bus.rng.randrange(3564), bus.rng.getrandbits(MAP["bx_mask_data"].bits)) for _ in range(50)]
    for bx, row in sent:
        await bus.write(MAP["bx_mask_addr"].address, bx)
        await bus.write(MAP["bx_mask_data"].address, row)
    assert bus.rows == sent


@cocotb.test()
async def counters_of_one_moment(dut: Any) -> None:
    """Counters count at every clock: all words of a reading show the clock at which they were latched, by the command
    or by a lumi section, and stay until the next one."""
    bus = await make(dut, "rare", "counters")
    counters = [register for register in MAP.registers if register.access == "counter"]
    where = [register.word_address(word) for register in counters for word in range(register.entries)]
    latches = MAP["latches"].address
    clock, latched = 1, 0

    async def step(lumi_start: bool = False) -> None:
        nonlocal clock, latched
        dut.lumi_start.value = int(lumi_start)
        for n, register in enumerate(counters):
            dut[register.name].value = sum((clock << 8 | n) << 32 * word for word in range(register.entries))
        if lumi_start or dut.snapshot.value:
            latched = clock
            bus.model[latches] += 1
            for n, register in enumerate(counters):
                for word in range(register.entries):
                    bus.model[register.word_address(word)] = clock << 8 | n
        await Bus.step(bus)
        clock += 1

    bus.step = step  # type: ignore[method-assign]
    for repeat in range(6):
        before = latched
        if repeat % 2:
            await bus.write(MAP["snapshot"].address, 1)
        else:
            await step(lumi_start=True)
        assert latched > before
        bus.reads += [Job(at) for at in bus.rng.sample([*where, latches], len(where) + 1)]
        await bus.finish()
        assert clock > latched + len(where)
    assert bus.model[latches] == 6
    # both at once: one moment
    bus.writes.append(Job(MAP["snapshot"].address, 1))
    while not dut.snapshot.value:
        await step()
    await step(lumi_start=True)
    bus.reads += [Job(at) for at in [*where, latches]]
    await bus.finish()
    assert bus.model[latches] == 7


@cocotb.test()
@cocotb.parametrize(kind=GAPS)
async def traffic(dut: Any, kind: str) -> None:
    """Reads and writes at once, anywhere, many of the same register."""
    bus = await make(dut, kind, "traffic")
    latch = MAP["snapshot"].address
    some = bus.rng.sample([at for at, (register, _) in sorted(WRITABLE.items()) if register.bits >= 12], 2)
    for jobs in (bus.writes, bus.reads):
        for _ in range(150):
            pool = (some, some, sorted(WORDS), ADDRESSES)[bus.rng.randrange(4)]
            address = bus.rng.choice(pool)
            jobs.append(Job(address if address != latch else some[0], bus.rng.getrandbits(32), bus.rng.randrange(16)))
    await bus.finish()
    bus.check_ports()
    assert sum(len(job.allowed) > 1 for job in bus.reads) > 0, "no read met a write of the same register"


@cocotb.test()
async def reset_at_any_time(dut: Any) -> None:
    """A reset drops what is under way; afterwards everything is as after the first."""
    bus = await make(dut, "half", "resets")
    first = dict(bus.model)
    for repeat in range(40):
        bus.writes += [Job(at, bus.rng.getrandbits(32)) for at in bus.rng.choices(sorted(WRITABLE), k=20)]
        bus.writes.insert(len(bus.writes) - 18, Job(MAP["snapshot"].address, 1))
        bus.reads += [Job(at) for at in bus.rng.choices([at for at in WORDS if at in WRITABLE], k=20)]
        for _ in range(bus.rng.randrange(40)):
            await bus.step()
        bus.reset = True
        for _ in range(bus.rng.randrange(1, 4)):
            await bus.step()
            assert not dut.s_axi_bvalid.value and not dut.s_axi_rvalid.value
            assert not any(int(dut[pulse].value) for pulse in PULSES)
            bus.writes, bus.reads, bus.done = [], [], dict.fromkeys(CHANNELS, 0)
            bus.held = dict.fromkeys(CHANNELS, False)
        bus.reset, bus.model = False, dict(first)
        bus.check_ports()
        if repeat % 20 == 0:
            bus.reads += [Job(at) for at in WORDS]
            await bus.finish()
