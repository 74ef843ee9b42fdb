"""The C++ libraries against the Python emulator and the definition; what they refuse; the CMake package."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ad40 import objects
from ad40.cli import main
from ad40.emulator import Emulator
from ad40.errors import Ad40Error, HashMismatch, InputError, MissingTool, SpecError
from ad40.fixed import Fixed
from ad40.library import TEMPLATES, WARNINGS, build, command, write_checksum, write_sources
from ad40.library_call import ABI, Library
from ad40.library_proof import plan
from ad40.library_source import namespace, source, stem, tables
from ad40.menu import seed_bits
from ad40.model import Model, read_model
from ad40.network import Layer, Network, read_network, write_network
from ad40.objects import pack, unpack
from ad40.score import KINDS
from tests.any_network import (
    any_model,
    any_network,
    edge_codes,
    network_reaching,
    score_by_definition,
    spreading_network,
)
from tests.conftest import make_network

ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT / "models" / "ad40_v1"
SANITIZE = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STRICT = (*WARNINGS, "-Wsign-conversion", "-Wshadow", "-Wpedantic")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")


def compile_with(*arguments: str | Path) -> None:
    done = subprocess.run(["g++", "-std=c++17", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def random_codes(n: int) -> np.ndarray:
    """Codes of random words, int32 (n, 19, 3), phi beyond its steps included: from empty to full events, hard to soft."""
    rng = np.random.default_rng(11)
    codes = unpack(rng.integers(0, 1 << 63, (n, objects.N_OBJECTS), np.uint64))
    codes[..., objects.PT] >>= rng.integers(0, 9, (n, 1))
    codes[rng.random(codes.shape[:2]) < rng.random((n, 1)) * 1.1] = 0
    return codes


@pytest.fixture(scope="module")
def models(model_dir: Path) -> list[Model]:
    """The released one, one of 32-bit sums, one of 64-bit sums with seeds in some bunch crossings only, and one with phi
    relative to MET."""
    from_met = spreading_network("masked_l1", 8, False, "met")
    return [read_model(RELEASED), read_model(model_dir), any_model(any_network(1, bits=20)), any_model(from_met)]


@pytest.fixture(scope="module")
def project(models: list[Model], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The project of the three models with its libraries as released, and their paths."""
    folder = tmp_path_factory.mktemp("library")
    write_sources(models, folder)
    return SimpleNamespace(folder=folder, libraries=build(models, folder))


@pytest.fixture(scope="module")
def sanitized(project: SimpleNamespace, models: list[Model]) -> SimpleNamespace:
    """The program tests/cpp/check.cpp and the libraries, all under AddressSanitizer and UBSan, warnings as errors."""
    folder = project.folder / "sanitized"
    folder.mkdir()
    libraries = []
    for model in models:
        name = stem(model.network)
        library = folder / f"{name}.so"
        subprocess.run(command(project.folder, name, library, (*SANITIZE, *STRICT)), check=True)
        write_checksum(library)
        libraries.append(library)
    check = folder / "check"
    include = f"-I{project.folder / 'include'}"
    compile_with(*SANITIZE, *STRICT, "-pthread", include, ROOT / "tests/cpp/check.cpp", "-o", check, "-ldl")
    return SimpleNamespace(folder=folder, libraries=libraries, check=check)


def holds(sanitized: SimpleNamespace, name: str, *arguments: str | Path) -> None:
    done = subprocess.run([sanitized.check, name, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "holds\n", done.stdout + done.stderr


@needs_compiler
def test_golden_vectors(project: SimpleNamespace) -> None:
    golden = np.load(RELEASED / "golden.npz")
    scores = Library(project.libraries[0]).score(golden["codes"])
    assert np.array_equal(scores, golden["hw_score"]) and len(np.unique(scores)) > 50


@needs_compiler
def test_a_hundred_thousand_random_events(project: SimpleNamespace, models: list[Model]) -> None:
    codes = random_codes(100_000)
    words = pack(codes)
    for path, model in zip(project.libraries, models, strict=True):
        library, scores = Library(path), model.trigger.score(codes)[:, 0]
        assert np.array_equal(library.score(codes), scores)
        assert np.array_equal(library.score_words(words), scores)
        fired = seed_bits(scores[:, None] >= np.array([seed.threshold for seed in model.menu.seeds]))
        assert np.array_equal(library.seed_bits(scores), fired)
        assert len(np.unique(scores)) > 50 and 0 < (fired > 0).mean() < 1


@needs_compiler
def test_edges_of_fields_and_of_int32(project: SimpleNamespace, models: list[Model]) -> None:
    for path, model in zip(project.libraries, models, strict=True):
        codes = edge_codes(model.network)
        assert Library(path).score(codes).tolist() == score_by_definition(model.network, codes)


@needs_compiler
def test_any_formats(tmp_path: Path) -> None:
    """Every score, roundings, overflows, shifts both ways, slopes, presence, angles to MET, 16 to 64 bits, and sums that
    just fit in 16 bits and just do not."""
    networks = [any_network(seed, bits=bits) for bits in (4, 8, 20) for seed in range(100, 106)]
    networks += [
        spreading_network(kind, bits, present)
        for kind in KINDS[1:] for bits, present in ((8, True), (20, False))
    ]  # fmt: skip
    networks += [spreading_network(kind, 8, kind == "output", "met") for kind in KINDS]
    networks += [network_reaching(top) for top in (32767, 32768)]
    assert [plan(network).layers[0].bits for network in networks[-2:]] == [16, 32]
    assert {layer.bits for network in networks for layer in plan(network).layers} == {16, 32, 64}
    cases = "".join(
        f"    case {i}: ad40::kernel::batch<{namespace(network)}::Network, ad40::kernel::FromCodes>(codes, n, scores);\n"
        f"      for (std::size_t e = 0; e < n; ++e)\n"
        f"        ad40::kernel::block<1, {namespace(network)}::Network, ad40::kernel::FromCodes>(codes + 57 * e, single + e);\n"
        f"      break;\n"
        for i, network in enumerate(networks)
    )
    text = "\n".join(tables(any_model(network)) for network in networks) + (
        'extern "C" void score(int, const std::int32_t *, std::size_t, std::uint32_t *, std::uint32_t *);\n'
        "void score(int k, const std::int32_t *codes, std::size_t n, std::uint32_t *scores, std::uint32_t *single) {\n"
        f"  switch (k) {{\n{cases}  }}\n}}\n"
    )
    (tmp_path / "any.cpp").write_text(text)
    compile_with(
        "-O2",
        "-fPIC",
        "-shared",
        *STRICT,
        f"-I{TEMPLATES / 'include'}",
        tmp_path / "any.cpp",
        "-o",
        tmp_path / "any.so",
    )
    library = ctypes.CDLL(str(tmp_path / "any.so"))
    for i, network in enumerate(networks):
        codes = np.ascontiguousarray(edge_codes(network)[:300])
        batch, single = np.empty((2, len(codes)), np.uint32)
        library.score(i, *(ctypes.c_void_p(codes.ctypes.data), ctypes.c_size_t(len(codes))),
                      ctypes.c_void_p(batch.ctypes.data), ctypes.c_void_p(single.ctypes.data))  # fmt: skip
        expected = score_by_definition(network, codes)
        assert batch.tolist() == expected and single.tolist() == expected, f"network {i}, seed {network.version}"
        assert len(set(expected)) > 1


@needs_compiler
def test_from_python(project: SimpleNamespace, models: list[Model]) -> None:
    """What a library says about itself; several open at once; seeds in the bunch crossings of the menu."""
    for path, model in zip(project.libraries, models, strict=True):
        library = Library(path)
        assert (library.model_name, library.model_version) == (model.network.name, model.network.version)
        assert (library.network_hash, library.menu_hash) == (model.network.hash, model.menu.hash)
        assert (library.spec_hash, library.score_fraction) == (model.network.spec_hash, model.network.score_fraction)
        assert library.seeds == tuple((seed.name, seed.threshold) for seed in model.menu.seeds)
        bx = np.arange(3564)
        score = np.full(len(bx), model.menu.seeds[-1].threshold)
        assert np.array_equal(library.seed_bits(score, bx), seed_bits(model.menu.bx_mask))
        assert library.score(np.zeros((0, 19, 3), np.int32)).shape == (0,)
    with pytest.raises(InputError, match=r"codes: shape is \(2, 57\)"):
        library.score(np.zeros((2, 57), np.int32))
    with pytest.raises(InputError, match=r"words: shape"):
        library.score_words(np.zeros((2, 18), np.uint64))
    with pytest.raises(InputError, match="bunch crossings"):
        library.seed_bits(np.zeros(1), np.array([3564]))
    assert f"#define AD40_ABI {ABI} " in (TEMPLATES / "include/ad40/c_api.h").read_text()


@needs_compiler
def test_python_refuses_other_files(project: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        Library(tmp_path / "none.so")
    copy = Path(shutil.copy(project.libraries[0], tmp_path))
    with pytest.raises(InputError, match="sha256: file is missing"):
        Library(copy)
    shutil.copy(f"{project.libraries[0]}.sha256", tmp_path)
    Library(copy)
    octets = bytearray(copy.read_bytes())
    octets[len(octets) // 2] ^= 1
    damaged = tmp_path / "damaged.so"  # another file: the true one is open and mapped
    damaged.write_bytes(octets)
    shutil.copy(f"{copy}.sha256", f"{damaged}.sha256")
    with pytest.raises(HashMismatch, match="expected the recorded"):
        Library(damaged)
    (tmp_path / "text.so").write_text("no library")
    write_checksum(tmp_path / "text.so")
    with pytest.raises(InputError, match="a model library"):
        Library(tmp_path / "text.so")


@needs_compiler
def test_only_the_interface_is_exported(project: SimpleNamespace) -> None:
    for path in project.libraries:
        listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
        names = {line.split()[-1] for line in listed.splitlines()}
        assert {"create_model", "destroy_model", "ad40_score_batch"} < names
        assert all(name.startswith("ad40_") for name in names - {"create_model", "destroy_model"})


@needs_compiler
def test_all_ways_agree_with_several_versions_open(
    sanitized: SimpleNamespace, models: list[Model], codes: np.ndarray, tmp_path: Path
) -> None:
    events = np.ascontiguousarray(np.concatenate([codes[:500], random_codes(500)]))
    events.tofile(tmp_path / "codes")
    pack(events).tofile(tmp_path / "words")
    arguments: list[str | Path] = [tmp_path / "codes", tmp_path / "words"]
    for library, model in zip(sanitized.libraries, models, strict=True):
        expected = tmp_path / f"{library.stem}.scores"
        Emulator(model.network).score(events).astype(np.uint32).tofile(expected)
        arguments += [library, expected]
    holds(sanitized, "agree", *arguments)
    holds(sanitized, "threads", sanitized.libraries[0], tmp_path / "codes", arguments[3])


@needs_compiler
@pytest.mark.parametrize("check", ["outlive", "types", "c_interface"])
def test_interface(sanitized: SimpleNamespace, check: str) -> None:
    holds(sanitized, check, sanitized.libraries[0])


@needs_compiler
def test_the_base_class_of_a_framework(project: SimpleNamespace, models: list[Model], tmp_path: Path) -> None:
    """A model as a framework's own class, whose header and name the command line gives."""
    (tmp_path / "framework.h").write_text(
        "#pragma once\n#include <any>\nnamespace framework {\nstruct Base {\n"
        "  virtual void prepare_input(std::any input) = 0;\n  virtual void predict() = 0;\n"
        "  virtual void read_result(std::any result) = 0;\n  virtual ~Base() = default;\n};\n}\n"
    )
    (tmp_path / "main.cpp").write_text(
        f'#include "{project.folder / "src" / stem(models[0].network)}.cpp"\n'
        "int main() {\n  framework::Base *model = create_model();\n  std::array<std::int32_t, 57> event{};\n"
        "  event[0] = 300;\n  std::uint32_t score = 0;\n  model->prepare_input(event);\n  model->predict();\n"
        "  model->read_result(&score);\n  destroy_model(model);\n  return static_cast<int>(score);\n}\n"
    )
    base = ('-DAD40_MODEL_HEADER="framework.h"', "-DAD40_MODEL_BASE=framework::Base", f"-I{tmp_path}")
    compile_with(*base, *STRICT, f"-I{project.folder / 'include'}", tmp_path / "main.cpp", "-o", tmp_path / "main")
    event = np.zeros((1, 19, 3), np.int32)
    event[0, 0, 0] = 300
    score = int(models[0].trigger.score(event)[0, 0])
    assert 0 < score < 256 and subprocess.run([tmp_path / "main"]).returncode == score


@needs_compiler
def test_damaged_libraries_are_refused(sanitized: SimpleNamespace, project: SimpleNamespace, tmp_path: Path) -> None:
    holds(sanitized, "damaged", project.libraries[0], tmp_path / "copy.so")


@needs_compiler
def test_what_is_no_model_library_is_refused(sanitized: SimpleNamespace, tmp_path: Path) -> None:
    holds(sanitized, "refused", tmp_path / "none.so", "is not a file")
    holds(sanitized, "refused", tmp_path, "is not a file")
    for name, text, reason in (("empty.so", "", "too few"), ("text.so", "text " * 99, "it is not an ELF file")):
        (tmp_path / name).write_text(text)
        holds(sanitized, "refused", tmp_path / name, reason)
    holds(sanitized, "refused", sanitized.check, "cannot be opened")  # a program
    for name, text in (("other", "int answer() { return 42; }"), ("future", 'extern "C" int ad40_abi() { return 9; }')):
        (tmp_path / f"{name}.cpp").write_text(text)
        compile_with("-shared", "-fPIC", tmp_path / f"{name}.cpp", "-o", tmp_path / f"{name}.so")
    holds(sanitized, "refused", tmp_path / "other.so", "is not an ad40 model library: it has no ad40_abi")
    holds(sanitized, "refused", tmp_path / "future.so", "has interface 9; expected 1")
    (tmp_path / "other.so.sha256").write_text("nothing")
    holds(sanitized, "refused", tmp_path / "other.so", "does not begin with 64 hex digits")


@needs_compiler
def test_fuzz_by_coverage(project: SimpleNamespace, models: list[Model], tmp_path: Path) -> None:
    """The same short run every time; `make test-long` runs longer."""
    run = fuzz_program(project.folder, stem(models[0].network), tmp_path)
    done = subprocess.run([run, "6000", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["runs"] == 6000 and summary["corpus"] > 30 and summary["edges"] > 500


def fuzz_program(folder: Path, name: str, scratch: Path) -> Path:
    """tests/cpp/fuzz.cpp with its own driver: coverage from GCC, sanitizers on."""
    include, text = f"-I{folder / 'include'}", f'-DAD40_SOURCE="{folder / "src" / name}.cpp"'
    target, driver = ROOT / "tests/cpp/fuzz.cpp", ROOT / "tests/cpp/fuzz_main.cpp"
    compile_with(
        "-O1", *SANITIZE, *STRICT, "-fsanitize-coverage=trace-pc", include, text, "-c", target, "-o", scratch / "fuzz.o"
    )
    compile_with("-O2", *STRICT, "-c", driver, "-o", scratch / "main.o")
    compile_with("-fsanitize=address,undefined", scratch / "fuzz.o", scratch / "main.o", "-o", scratch / "fuzz")
    return scratch / "fuzz"


@pytest.mark.long
@needs_compiler
def test_fuzz_longer_and_find_a_planted_fault(project: SimpleNamespace, models: list[Model], tmp_path: Path) -> None:
    for seed, model in enumerate(models):
        (tmp_path / str(seed)).mkdir()
        run = fuzz_program(project.folder, stem(model.network), tmp_path / str(seed))
        done = subprocess.run([run, "40000", str(seed)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    planted = tmp_path / "planted"  # ties upwards instead of to even
    shutil.copytree(project.folder, planted, ignore=shutil.ignore_patterns("lib", "sanitized"))
    kernel = planted / "include" / "ad40" / "kernel.h"
    text = kernel.read_text()
    assert text.count("(half - 1)") == 1
    kernel.write_text(text.replace("(half - 1)", "half"))
    run = fuzz_program(planted, stem(models[0].network), tmp_path)
    done = subprocess.run([run, "100000", "1"], capture_output=True, text=True)
    assert done.returncode != 0 and "the score of" in done.stderr  # one of two ways in finds it first


@pytest.mark.long
@pytest.mark.skipif(shutil.which("clang++") is None, reason="clang++ is not installed")
def test_fuzz_with_libfuzzer(project: SimpleNamespace, models: list[Model], tmp_path: Path) -> None:
    text = f'-DAD40_SOURCE="{project.folder / "src" / stem(models[0].network)}.cpp"'
    options = [
        "-std=c++17",
        "-O1",
        "-g",
        "-fsanitize=fuzzer,address,undefined",
        f"-I{project.folder / 'include'}",
        text,
    ]
    target = [ROOT / "tests/cpp/fuzz.cpp", "-o", tmp_path / "fuzz"]
    subprocess.run(["clang++", *options, *target], check=True)
    (tmp_path / "corpus").mkdir()
    for kind in range(5):
        (tmp_path / "corpus" / str(kind)).write_bytes(bytes([kind]) + bytes(57 * 4))
    run = [tmp_path / "fuzz", "-runs=300000", "-seed=1", "-max_len=16384", "-max_total_time=240", tmp_path / "corpus"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@needs_compiler
@needs_cmake
def test_the_package_and_the_example_of_the_documentation(
    project: SimpleNamespace, models: list[Model], tmp_path: Path
) -> None:
    """cmake builds and installs the libraries; the consumer of docs/cpp.md finds and uses them."""
    blocks = dict(re.findall(r"```(cpp|cmake)\n(.*?)```", (ROOT / "docs/cpp.md").read_text(), re.DOTALL))
    write_sources(models[:1], tmp_path / "project")
    prefix = tmp_path / "prefix"
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    (consumer / "CMakeLists.txt").write_text(blocks["cmake"])
    (consumer / "main.cpp").write_text(blocks["cpp"])
    for folder, options in (
        (tmp_path / "project", ("--install-prefix", str(prefix))),
        (consumer, (f"-Dad40_ROOT={prefix}",)),
    ):
        for step in (["-S", folder, "-B", folder / "build", *options], ["--build", folder / "build"]):
            done = subprocess.run(["cmake", *step], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        if folder != consumer:
            subprocess.run(["cmake", "--install", folder / "build"], check=True, capture_output=True)
    done = subprocess.run([consumer / "build" / "main"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    event = np.zeros((1, 19, 3), np.int32)
    event[0, 0, 0], event[0, 9, 0] = 300, 250
    score = int(Emulator(models[0].network).score(event)[0])
    bits = sum(1 << i for i, seed in enumerate(models[0].menu.seeds) if score >= seed.threshold)
    assert score > 0 and done.stdout == f"ad40_v1 1.0: score {score}, seeds {bits}\n"
    for suffix in (".so", ".so.sha256"):
        assert (prefix / "lib" / "ad40" / f"ad40_v1_1.0{suffix}").is_file()


@needs_compiler
def test_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, summary = tmp_path / "out", tmp_path / "s.json"
    assert main(["library", str(RELEASED), "--output", str(out), "--build", "--json", str(summary)]) == 0
    written = json.loads(summary.read_text())
    (library,) = written["libraries"]
    assert (out / "lib" / "ad40_v1_1.0.so").read_bytes()[:4] == b"\x7fELF"
    assert (out / "lib" / "ad40_v1_1.0.so.sha256").read_text() == f"{library['sha256']}  ad40_v1_1.0.so\n"
    assert written["models"][0]["network_hash"] == read_network(RELEASED / "network.json").hash
    assert "ad40_v1_1.0: " in capsys.readouterr().out
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]


def test_the_same_model_gives_the_same_source(models: list[Model]) -> None:
    assert source(models[0]) == source(read_model(RELEASED))
    assert namespace(models[0].network) == f"model_ad40_v1_1_0_{models[0].network.hash[:8]}"


def test_bad_models_are_refused_before_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for folders, part in (
        ([tmp_path / "none"], "not a folder"),
        ([RELEASED, RELEASED], "names used once"),
        ([RELEASED, edited(tmp_path / "edited")], "hash of the content"),
    ):
        assert main(["library", *map(str, folders), "--output", str(out)]) == 2
        assert part in capsys.readouterr().err and not out.exists()
    assert main(["library", str(RELEASED), "--output", str(out), "--native"]) == 2


def edited(folder: Path) -> Path:
    """The released model with one weight changed by one."""
    shutil.copytree(RELEASED, folder, ignore=shutil.ignore_patterns("plots", "*.h5"))
    document = json.loads((folder / "network.json").read_text())
    document["layers"][0]["weight"][3][0] += 1
    (folder / "network.json").write_text(json.dumps(document))
    return folder


def test_no_compiler_and_one_that_fails(tmp_path: Path, models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    write_sources(models[:1], tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingTool, match=r"a C\+\+17 compiler"):
        build(models[:1], tmp_path)
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(Ad40Error, match="failed with exit code 1"):
        build(models[:1], tmp_path)
    assert list((tmp_path / "lib").iterdir()) == []


def test_networks_beyond_64_bits_and_names_of_no_file_are_refused(tmp_path: Path) -> None:
    network = make_network(sizes=(57, 57))
    wide = Fixed(True, 0, 58)
    layer = network.layers[0]
    heavy = Layer(
        "heavy", np.full((57, 57), wide.max_code), wide, layer.bias, layer.bias_format, "linear", layer.output
    )
    with pytest.raises(Ad40Error, match="layer 'heavy' can reach [0-9]+, more than 64 bits hold"):
        plan(Network("heavy", "0", network.spec_hash, network.input, (heavy,), network.score))
    for name in ("a/b", "", "-o", 'a"b', "a b"):
        bad = Network(name, "0", network.spec_hash, network.input, network.layers, network.score)
        with pytest.raises(SpecError, match="letters, digits"):
            stem(bad)
    write_network(tmp_path / "network.json", network)
