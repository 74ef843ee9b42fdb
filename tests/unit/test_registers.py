"""The register description: the shipped one, one bad document per mistake, and what is generated from it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ad40 import menu, registers, spec
from ad40.errors import SpecError
from ad40.registers import RegisterMap, largest, register_map
from firmware.registers import verilog, write_registers
from tests.fake_board import FakeBoard

ROOT = Path(__file__).parents[2]
SHIPPED = spec.FOLDER / "registers.yaml"
MAPS = {"small": (1, 1, 1, 8), "usual": (5, 2, 6, 18), "largest": (32, 3, 32, 32)}


@pytest.fixture(params=MAPS)
def map(request: pytest.FixtureRequest) -> RegisterMap:
    return register_map(*MAPS[request.param])


def addresses(map: RegisterMap) -> list[tuple[str, int, int]]:
    """(name, word, address) of every word."""
    return [(r.name, word, r.word_address(word)) for r in map.registers for word in range(r.entries)]


def test_the_contract_of_the_shipped_description() -> None:
    map = register_map(5, 1, 6, 18)
    ro = "magic design_id spec_hash menu_hash network_hash n_seeds n_models n_lanes latency_clocks clock_khz clocks_per_bx"
    rw = "lane_enable threshold prescale mask veto rule_window lumi_log2 update_mode l1a_source ignore_busy busy_level"
    for names, access in ((ro, "ro"), (rw, "rw"), ("update update_now snapshot prescale_rst counter_rst", "wo")):
        assert {map[name].access for name in names.split()} == {access}
    assert map["threshold"].bits == 18 and map["threshold"].count == 5 and map["cnt_late"].count == 6
    assert map["bx_mask_data"].strobe == "bx_mask_we" and map["network_hash"].entries == 8
    assert register_map(5, 1, 6)["threshold"].bits == 32
    assert all(map[name].port == port for name, port in
               (("mask", "cfg_mask"), ("cnt_l1a", "cnt_l1a"), ("update", "update"), ("magic", None)))  # fmt: skip
    assert set(map.package_constants) >= {"N_SEEDS", "DEFAULT_THRESHOLD", "SPEC_HASH", "CLOCK_KHZ"}


def test_room_for_every_menu() -> None:
    map = largest()
    assert (map.sizes["seeds"], map.sizes["rules"]) == (menu.MAX_SEEDS, menu.MAX_RULES)
    assert map["rule_window"].mask == menu.MAX_RULE_BX and map["prescale"].bits == menu.PRESCALE_BITS
    assert map["bx_mask_addr"].mask >= spec.latency().orbit_bx - 1
    assert map["lumi_log2"].mask >= spec.latency().lumi_orbits_log2


def test_addresses_do_not_depend_on_the_design(map: RegisterMap) -> None:
    assert [r.address for r in map.registers] == [r.address for r in largest().registers]
    assert map.hash == largest().hash
    where = [address for _, _, address in addresses(map)]
    assert len(where) == len(set(where)) and max(where) < 1 << map.address_bits and not any(a % 4 for a in where)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((33, 1, 6), "seeds is 33; expected 1 to 32"),
        ((0, 1, 6), "seeds is 0"),
        ((5, 4, 6), "models is 4; expected 1 to 3"),
        ((5, 1, 33), "lanes is 33; expected 1 to 32"),
        ((5, 1, 6, 33), "threshold is 33; expected 1 to 32"),
    ],
)
def test_designs_without_room(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        register_map(*sizes)


def entry(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(e for e in document["registers"] if e["name"] == name)


def put(name: str, /, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: entry(document, name).update(changes)


MISTAKES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (put("veto", address=0x204), "<veto>.address is 0x204 (veto); expected 1 words apart from those of mask"),
    # an array of the largest design would reach into the next register, although that of a small one does not
    (put("prescale", address=0x37C), "is 0x37c (prescale); expected 32 words apart from those of threshold at 0x37c"),
    (put("menu_hash", address=0x05C), "expected 8 words apart from those of spec_hash at 0x5c"),
    (put("mask", address=0x206), "<mask>.address is 0x206 (mask); expected a multiple of 4"),
    (put("mask", address=0x1000), "is 0x1000 (mask); expected 1 words below 0x1000"),
    (put("cnt_missing", address=0xFC0), "is 0xfc0 (cnt_missing); expected 32 words below 0x1000"),
    (put("mask", address=-4), "<mask>.address is -4; expected an integer from 0"),
    (put("mask", access="wr"), "<mask>.access is 'wr'; expected one of ro, rw, wo, counter"),
    (put("mask", bits=33), "<mask>.bits is 33; expected an integer from 1 to 32"),
    (put("mask", bits="columns"), "<mask>.bits is 'columns'; expected 1 to 32, or one of the sizes seeds"),
    (lambda d: d["sizes"]["seeds"].update(most=40), "a size of 32 at most; that one goes up to 40"),
    (put("threshold", count="columns"), "<threshold>.count is 'columns'; expected 1 to"),
    (put("lumi_log2", reset=32), "<lumi_log2>.reset is 32; expected an integer from 0 to 31"),
    (put("mask", reset=2), "<mask>.reset is 2; expected an integer from 0 to 1"),
    (put("magic", value=1 << 32), "<magic>.value is 4294967296; expected an integer from 0"),
    (put("mask", reset="default mask"), "<mask>.reset is 'default mask'; expected a number, ones or the name"),
    (put("mask", name="veto"), "<veto>.name is 'veto'; expected a name used once"),
    (put("cnt_l1a", name="cfg_mask"), "<cnt_l1a>.name is 'cfg_mask'; expected a name used once"),
    (put("update", name="rst"), "<update>.name is 'rst'; expected a name used once"),
    (put("bx_mask_data", strobe="mask"), "<bx_mask_data>.strobe is 'mask'; expected a name used once"),
    (put("mask", name="Mask!"), "<mask>.name is 'Mask!'; expected a name: a-z"),
    (lambda d: entry(d, "mask").pop("reset"), "<mask>.reset is missing"),
    (lambda d: entry(d, "mask").pop("description"), "<mask>.description is missing"),
    (put("mask", colour="red"), "<mask>.colour is an unknown key"),
    (put("sts_pending", reset=0), "<sts_pending>.reset is 0; expected no reset with access ro"),
    (put("mask", value=1), "<mask>.value is 1; expected no value with access rw"),
    (put("update", strobe="go"), "<update>.strobe is 'go'; expected no strobe with access wo"),
    (put("sts_applied_orbit", words=2), "<sts_applied_orbit>.words is 2; expected one word, or a constant value"),
    (put("cnt_l1a", bits=16), "<cnt_l1a>.bits is 16; expected 32 bits of a counter"),
    (put("update", bits=2), "<update>.bits is 2; expected one bit"),
    (lambda d: d.update(version=2), "version is 2"),
    (lambda d: d["sizes"].pop("lanes"), "sizes.lanes is missing"),
    (lambda d: d["sizes"]["lanes"].update(constant="lanes"), "sizes.lanes.constant is 'lanes'"),
    (lambda d: d.update(registers=[]), "registers is []; expected at least one register"),
    (lambda d: d.update(registers={}), "registers is {}; expected a list"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[m[1][:50] for m in MISTAKES])
def test_mistakes_are_named(change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path) -> None:
    document = yaml.safe_load(SHIPPED.read_text())
    change(document)
    path = tmp_path / "registers.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    names = [e["name"] for e in yaml.safe_load(SHIPPED.read_text())["registers"]]
    message = re.sub(r"<(\w+)>", lambda found: f"registers[{names.index(found[1])}]", message)
    with pytest.raises(SpecError) as error:
        register_map(1, 1, 1, path=path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_wording_does_not_change_the_layout_and_an_address_does(tmp_path: Path) -> None:
    path = tmp_path / "registers.yaml"
    text = SHIPPED.read_text()
    path.write_text(text.replace("the letters AD40", "four letters"))
    assert largest(path).hash == largest().hash
    path.write_text(text.replace("address: 0x118", "address: 0x11c"))
    registers._read.cache_clear()
    assert largest(path).hash != largest().hash


def test_regenerating_leaves_no_difference(map: RegisterMap, tmp_path: Path) -> None:
    first, second = (write_registers(tmp_path / name, map) for name in "ab")
    assert [path.relative_to(tmp_path / "a") for path in first] == [
        Path("rtl/registers.sv"), Path("software/ad40_registers.h"), Path("software/ad40_registers.py"),
        Path("software/registers.md"),
    ]  # fmt: skip
    assert [path.read_text() for path in first] == [path.read_text() for path in second]


def test_the_committed_page_is_current(tmp_path: Path) -> None:
    page = tmp_path / "registers.md"
    subprocess.run([sys.executable, "-m", "firmware.registers", "--docs", page], cwd=ROOT, check=True)
    assert page.read_text() == (ROOT / "docs" / "registers.md").read_text(), (
        "docs/registers.md is not up to date: run python -m firmware.registers --docs docs/registers.md"
    )


def test_every_port_has_a_comment(map: RegisterMap) -> None:
    lines = [line.strip() for line in verilog(map).split(");")[0].splitlines()]
    for before, line in pairwise(lines):
        if line.startswith(("input", "output")) and "clk" not in line:
            assert "//" in line or before.startswith("//"), line
    for register in map.registers:
        assert register.port is None or any(line.rstrip(",").endswith(f" {register.port}") for line in lines)


def c_program(map: RegisterMap) -> str:
    """A program that prints name, word and address of every word, and the masks, from the header alone."""
    lines = ['#include "ad40_registers.h"', "#include <inttypes.h>", "#include <stdio.h>", "", "int main(void) {"]
    for register in map.registers:
        name = f"AD40_{register.name.upper()}"
        count = f"{name}_COUNT" if register.array else "1u"
        words = f"{name}_WORDS" if register.words > 1 else "1u"
        first = f"{name}_ADDR(i)" if register.array else f"{name}_ADDR"
        lines += [
            f"  for (uint32_t i = 0; i < {count}; i++)",
            f"    for (uint32_t w = 0; w < {words}; w++)",
            f'      printf("{register.name} %" PRIu32 " %" PRIu32 " %" PRIx32 "\\n", i * {words} + w, {first} + 4u * w, {name}_MASK);',
        ]
    return "\n".join([*lines, "  return AD40_LAYOUT_EXPECTED == 0;", "}", ""])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_c_header_has_every_address(map: RegisterMap, tmp_path: Path) -> None:
    write_registers(tmp_path, map)
    (tmp_path / "addresses.c").write_text(c_program(map))
    for standard in ("c99", "c17"):
        flags = [f"-std={standard}", "-pedantic", "-Wall", "-Wextra", "-Werror"]
        command = ["gcc", *flags, "-I", tmp_path / "software", tmp_path / "addresses.c", "-o", tmp_path / "addresses"]
        subprocess.run(command, check=True)
    printed = subprocess.run([tmp_path / "addresses"], check=True, capture_output=True, text=True).stdout
    found = [line.split() for line in printed.splitlines()]
    assert [(name, int(word), int(address)) for name, word, address, _ in found] == addresses(map)
    assert all(int(mask, 16) == map[name].mask for name, _, _, mask in found)


def generated_class(map: RegisterMap, folder: Path) -> ModuleType:
    """The generated Python file, imported from where it was written."""
    write_registers(folder, map)
    loader = importlib.util.spec_from_file_location("ad40_registers", folder / "software" / "ad40_registers.py")
    assert loader is not None and loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules["ad40_registers"] = module  # dataclasses look their module up
    try:
        loader.loader.exec_module(module)
    finally:
        del sys.modules["ad40_registers"]
    return module


def test_the_python_class_stands_alone(tmp_path: Path) -> None:
    map = register_map(5, 2, 6, 18)
    write_registers(tmp_path, map)
    code = (
        "import sys, ad40_registers; sys.exit(any(m.split('.')[0] in ('ad40', 'numpy', 'yaml') for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path / "software", check=True)


def test_the_python_class_reads_and_writes(map: RegisterMap, tmp_path: Path) -> None:
    module = generated_class(map, tmp_path)
    hashes = sum((0x1000 + i) << 256 * i for i in range(map.sizes["models"]))
    board = FakeBoard(map, {"NETWORK_HASH": hashes, "SPEC_HASH": 0xABC << 240, "DERANDOMISER_DEPTH": 16})
    device = module.connect(board)
    assert [
        (r.name, word, r.address + 4 * word) for r in module.TABLE for word in range(r.count * r.words)
    ] == addresses(map)
    assert device.read("magic").to_bytes(4, "big") == b"AD40" and device.read("busy_level") == 16
    assert device.hash("spec_hash") == "0abc" + "0" * 60
    last = map.sizes["models"] - 1
    assert device.read("network_hash", last) == 0x1000 + last
    for register in map.registers:
        if register.access == "rw":
            values = [(i * 0x9E3779B1 + 1) & register.mask for i in range(register.count)]
            for i, value in enumerate(values):
                device.write(register.name, value, i)
            assert device.read_all(register.name) == values
    device.strobe("prescale_rst")
    assert board.strobes == ["prescale_rst"]
    board.running = {address: i for i, address in enumerate(board.at)}
    counters = device.counters()
    for register in map.registers:
        if register.access == "counter":
            values = [board.running[register.word_address(i)] for i in range(register.count)]
            assert counters[register.name] == (values if register.array else values[0])


def test_what_the_python_class_refuses(tmp_path: Path) -> None:
    map = register_map(5, 1, 6, 18)
    module = generated_class(map, tmp_path)
    board = FakeBoard(map, {})
    device = module.connect(board)
    for action, message in (
        (lambda: device.read("thresholds"), "no register 'thresholds'"),
        (lambda: device.read("threshold", 5), r"threshold\[5\]: expected an index from 0 to 4"),
        (lambda: device.write("threshold", 1 << 18), "threshold = 262144: expected 0 to 262143"),
        (lambda: device.write("threshold", -1), "threshold = -1"),
        (lambda: device.write("magic", 1), "magic can only be read"),
        (lambda: device.write("cnt_l1a", 0), "cnt_l1a can only be read"),
        (lambda: device.read("update"), "update can only be written"),
        (lambda: device.strobe("mask"), "mask is not a command"),
    ):
        with pytest.raises(module.RegisterError, match=message):
            action()
    assert not board.strobes
    board.words[map["layout"].address] ^= 1
    with pytest.raises(module.RegisterError, match="layout 0x.* on the board; here 0x"):
        module.connect(board)


def test_counters_that_never_stand_still(tmp_path: Path) -> None:
    map = register_map(5, 1, 6, 18)
    module = generated_class(map, tmp_path)

    class Restless(FakeBoard):
        def read(self, address: int) -> int:
            if address == map["cnt_l1a"].address:
                self.lumi_section()
            return super().read(address)

    with pytest.raises(module.RegisterError, match="latched three times"):
        module.connect(Restless(map, {})).counters()
