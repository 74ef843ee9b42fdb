"""The C++ source of a model's library: the tables of its frozen network and its menu; ad40/cpp/ holds the rest."""

from __future__ import annotations

import re

from ad40 import objects, spec
from ad40.errors import SpecError
from ad40.library_proof import Dense, Plan, plan
from ad40.model import Model
from ad40.network import Network

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def stem(network: Network) -> str:
    """File name of a model's library without its ending, <name>_<version>. `SpecError` when they cannot name a file."""
    for label, text in (("name", network.name), ("version", network.version)):
        if not _NAME.fullmatch(text):
            raise SpecError("network.json", label, repr(text), "letters, digits and _.+- only: it names the library")
    return f"{network.name}_{network.version}"


def namespace(network: Network) -> str:
    """C++ namespace of a model, its own for every name, version and content."""
    return re.sub(r"\W", "_", f"model_{stem(network)}_{network.hash[:8]}")


def source(model: Model) -> str:
    """The C++ source of a model's library. Raises `Ad40Error` when 64 bits do not hold the network."""
    space = namespace(model.network)
    return f'{tables(model)}\nusing ad40_network = {space}::Network;\n#include "ad40/exports.h"\n'


def tables(model: Model) -> str:
    """The constants of a model, in a namespace of its own inside the unnamed one."""
    p, space = plan(model.network), namespace(model.network)
    return "\n".join(
        [
            f"// The integer emulator of {stem(model.network)}, written by `ad40 library`. Do not edit.",
            f"// network {model.network.hash}",
            f"// menu    {model.menu.hash}",
            '#include "ad40/kernel.h"\n',
            f"namespace {{\nnamespace {space} {{\n",
            "using namespace ad40::kernel;\n",
            *(_layer(i, p) for i in range(len(p.layers))),
            _network(model, p),
            f"}}  // namespace {space}\n}}  // namespace\n",
        ]
    )


def _type(bits: int) -> str:
    return f"std::int{bits}_t"


def _bool(value: bool) -> str:
    return str(value).lower()


def _number(value: int) -> str:
    """A literal; the most negative int64 has none of its own."""
    if value == -(1 << 63):
        return f"({value + 1}LL - 1)"
    return str(value) if -(1 << 31) < value < 1 << 31 else f"{value}LL"


def _text(value: str) -> str:
    """A string literal, ASCII only."""
    octets = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in value.encode())
    return '"' + "".join(octets) + '"'


def _array(kind: str, name: str, values: list[str]) -> str:
    """A constant array, in lines of at most 110 characters. `values` is not empty."""
    flat = f"  static constexpr {kind} {name}[] = {{{', '.join(values)}}};"
    if len(flat) <= 110:
        return flat
    lines, line = [f"  static constexpr {kind} {name}[] = {{"], "     "
    for value in values:
        if len(line) + len(value) > 108:
            lines.append(line)
            line = "     "
        line += f" {value},"
    return "\n".join([*lines, f"{line[:-1]}}};"])


def _struct(*values: int | str) -> str:
    return "{" + ", ".join(_number(v) if isinstance(v, int) else v for v in values) + "}"


def _kept(p: Plan, i: int) -> list[int]:
    """Outputs of layer i that matter: of the last one those that are scored."""
    return p.scored if i == len(p.layers) - 1 else list(range(len(p.layers[i].bias)))


def _layer(i: int, p: Plan) -> str:
    dense = p.layers[i]
    layer, fmt, rows = dense.layer, dense.layer.output, _kept(p, i)
    terms, first = _terms(dense, rows)
    limit = 1 << (dense.bits - 1)
    ends = max(fmt.min_code, -limit), min(fmt.max_code, limit - 1)
    n_in = len(dense.weight[0])
    lines = [
        f"struct Layer{i} {{  // {_text(layer.name)}: {n_in} to {len(rows)}, {first[-1]} weights, {_format(dense)}",
        f"  using Sum = {_type(dense.bits)};",
        f"  static constexpr std::size_t outputs = {len(rows)};\n  static constexpr int shift = {dense.shift};",
        f"  static constexpr bool relu = {_bool(layer.activation == 'relu')};",
        f"  static constexpr int slope = {layer.slope_shift};  // what is negative drops so many bits",
        f"  static constexpr bool kept = {_bool(i in p.kept)};  // for the score",
        f"  static constexpr Rounding rounding = Rounding::{fmt.rounding.lower()};",
        f"  static constexpr Overflow overflow = Overflow::{fmt.overflow.lower()};",
        f"  static constexpr Sum low = {_number(ends[0])}, high = {_number(ends[1])};"
        if fmt.overflow == "SAT"
        else f"  static constexpr int width = {fmt.width};\n  static constexpr bool is_signed = {_bool(fmt.signed)};",
        _array("Sum", "bias", [_number(dense.bias[row]) for row in rows]),
        "  // {input, weight} of output k: terms[first[k]] up to terms[first[k + 1]]",
        _array("std::size_t", "first", [str(n) for n in first]),
        _array("Term<Sum>", "terms", terms or ["{0, 0}"]),
        "};\n",
    ]
    return "\n".join(lines)


def _format(dense: Dense) -> str:
    fmt = dense.layer.output
    return f"{'signed' if fmt.signed else 'unsigned'} {fmt.width} bits, {fmt.fraction} of them fraction"


def _terms(dense: Dense, rows: list[int]) -> tuple[list[str], list[int]]:
    """The weights that are not zero, and where each row begins."""
    terms: list[str] = []
    first = [0]
    for row in rows:
        terms += [_struct(i, w) for i, w in enumerate(dense.weight[row]) if w]
        first.append(len(terms))
    return terms, first


def _network(model: Model, p: Plan) -> str:
    network, fmt = model.network, model.network.input.format
    up_x, up_y = network.scoring.aligned
    kept = len(p.layers[p.kept[0]].bias) if p.kept else 1
    layers = ", ".join(f"Layer{i}" for i in range(len(p.layers)))
    texts = {
        "name": network.name,
        "version": network.version,
        "network_hash": network.hash,
        "menu_hash": model.menu.hash,
        "spec_hash": network.spec_hash,
    }
    lines = [
        "struct Network {",
        *(f"  static constexpr const char *{key} = {_text(value)};" for key, value in texts.items()),
        f"  static constexpr int score_fraction = {network.score_fraction};",
        f"  using Code = {_type(p.code_bits)};  // of the normalisation",
        "  using X = Layer0::Sum;",
        f"  using Total = {_type(p.total_bits)};  // of the score",
        f"  static constexpr Code min = {_number(fmt.min_code)}, max = {_number(fmt.max_code)};",
        "  // index, low, high, offset, right, left",
        _array("Input<Code>", "inputs", _inputs(p)),
        *_angles(p),
        _array("Object", "objects", _objects(p)),
        f"  static constexpr std::size_t rows = {network.n_inputs}, outputs = {len(p.scored)}, kept = {kept};",
        f"  static constexpr X one = {_number(network.input.one if p.present else 0)};  // an object that is there",
        f"  static constexpr Kind kind = Kind::{network.score.kind};",
        f"  static constexpr int drop = {network.score.shift};  // low bits of the sum",
        f"  static constexpr Total up_x = {1 << up_x}, up_y = {1 << up_y};  // to units of the score",
        _array("Scored", "scored", [_struct(i, k) for k, i in enumerate(p.scored)]),
        *_tables(network, p),
        f"  using Layers = List<{layers}>;",
        *_fields(),
        *_seeds(model),
        "};\n",
    ]
    return "\n".join(lines)


def _tables(network: Network, p: Plan) -> list[str]:
    """Entries of all tables of the score, each of its own place, and the products of them."""
    entries: list[int] = []
    products = []
    for term in network.score.terms:
        row = []
        for factor in term:
            row += [p.scored.index(factor.output), len(entries)]
            entries += factor.table.tolist()
        products.append(_struct(*row, *((-1, 0) if len(term) == 1 else ())))
    low = network.layers[-1].output.min_code
    return [
        f"  static constexpr Total lowest = {_number(low)};  // code of the first entry of a table",
        _array("std::int32_t", "entries", [str(entry) for entry in entries] or ["0"]),
        "  // output, first entry of its table, second output or -1, first entry of its table",
        _array("Product", "products", products or ["{0, 0, -1, 0}"]),
    ]


def _inputs(p: Plan) -> list[str]:
    rows = [_struct(i.index, i.low, i.high, i.offset, i.right, i.left) for i in p.inputs]
    return rows or ["{0, 0, 0, 0, 0, 1}"]  # of a network that reads the presence of objects alone: no object names it


def _angles(p: Plan) -> list[str]:
    """Which inputs are angles to MET."""
    if not any(i.turn for i in p.inputs):
        return ["  static constexpr bool angles_to_met = false;"]
    return [
        "  static constexpr bool angles_to_met = true;",
        f"  static constexpr int met = {objects.azimuth().met};  // its slot",
        f"  static constexpr Code code_max = {objects.MAX_CODE};  // no word holds more",
        "  // of each input: phi codes of a turn and those of one code of MET; 0: no angle",
        _array("Angle<Code>", "angles", [_struct(i.turn, i.per_met) for i in p.inputs]),
    ]


def _objects(p: Plan) -> list[str]:
    """Objects that are read: slot, inputs from first to last, and the input that is their presence or -1."""
    slots = [i.index // objects.N_FEATURES for i in p.inputs]
    rows = []
    for slot in sorted({*slots, *p.present}):
        first = next((k for k, s in enumerate(slots) if s >= slot), len(slots))
        rows.append(
            _struct(slot, first, first + slots.count(slot), objects.N_INPUTS + slot if slot in p.present else -1)
        )
    return rows


def _fields() -> list[str]:
    t = objects._tables()
    columns = (t.shift, t.mask, t.sign, t.high)
    rows = zip(*(column.ravel().tolist() for column in columns), strict=True)
    return [
        "  // of the words on the links: shift, mask, sign, highest",
        _array("Field", "fields", [_struct(*row) for row in rows]),
    ]


def _seeds(model: Model) -> list[str]:
    seeds = model.menu.seeds
    ranges = [_struct(bit, *pair) for bit, seed in enumerate(seeds) for pair in seed.bx]
    anywhere = sum(1 << bit for bit, seed in enumerate(seeds) if not seed.bx)
    return [
        f"  static constexpr std::uint32_t seed_count = {len(seeds)}, seeds_anywhere = {anywhere:#x};",
        _array("const char *", "seed_names", [_text(seed.name) for seed in seeds]).replace("* ", "*"),
        _array("std::uint32_t", "thresholds", [f"{seed.threshold}u" for seed in seeds]),
        f"  static constexpr std::uint16_t orbit_bx = {spec.latency().orbit_bx};",
        f"  static constexpr std::uint32_t bx_range_count = {len(ranges)};",
        _array("BxRange", "bx_ranges", ranges or ["{0, 0, 0}"]),
    ]
