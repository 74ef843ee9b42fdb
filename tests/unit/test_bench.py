"""What the bench measures is the same work each time: other methods give the same scores, a repeated file the same
events."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ad40.bench_files import end_to_end, repeat_sample
from ad40.emulator import Emulator
from ad40.errors import CheckError, InputError
from ad40.events import open_events, write_adc2021, write_hw_sample
from ad40.network import Network, Score
from ad40.objects import decode
from ad40.roofline import integer_score, methods, roofline, work_per_event
from tests.conftest import make_network


@pytest.mark.parametrize("seed", range(6))
def test_every_method_gives_the_same_scores(seed: int, codes: np.ndarray) -> None:
    rng = np.random.default_rng(seed)
    network = make_network(seed, ((57, 57) if seed == 0 else (57, 9, 57)))
    mask = rng.random(57) < (0.1, 0.3, 0.6, 0.9, 0.5, 0.2)[seed]
    mask[5] = True
    first = network.layers[0]
    weight = first.weight * (rng.random(57) < 0.5)[:, None]  # inputs that are read, scored, both or neither
    layers = (replace(first, weight=weight), *network.layers[1:])
    network = replace(network, layers=layers, score=Score("masked_l1", mask))
    wanted = integer_score(network, Emulator(network), codes)
    assert len(np.unique(wanted)) > 20
    found = methods(network)
    assert len(found) == 4
    for name, score in found.items():
        assert np.array_equal(score(codes), wanted), name


def test_roofline(network: Network, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIZE", "MEMORY"):
        monkeypatch.setattr(f"ad40.roofline.{name}", 64)
    found = roofline(network, codes, repeats=1)
    work = work_per_event(network)
    sizes = [layer.weight.shape for layer in network.layers]
    scored = int(network.score.mask.sum())
    used = int((network.score.mask | network.layers[0].weight.any(axis=1)).sum())
    assert work["flops"] == 2 * (used * sizes[0][1] + sum(a * b for a, b in sizes[1:-1]) + sizes[-1][0] * scored)
    assert work["nonzero_flops"] < work["flops"] and all(value > 0 for value in found["bounds"].values())
    monkeypatch.setattr("ad40.roofline.integer_score", lambda network, emulator, codes: emulator.score(codes) + 1)
    with pytest.raises(CheckError, match="numpy int64 != emulator: 4000/4000"):
        roofline(network, codes, repeats=1)


def test_a_repeated_file_holds_the_same_events(codes: np.ndarray, model_dir: Path, tmp_path: Path) -> None:
    many = np.concatenate([codes] * 3)
    write_hw_sample(tmp_path / "hw.h5", many)
    write_adc2021(tmp_path / "adc.h5", decode(many))
    for name in ("hw.h5", "adc.h5"):
        assert repeat_sample(tmp_path / name, tmp_path / "long.h5", 20000) == 24576
        with open_events(tmp_path / "long.h5") as long, open_events(tmp_path / name) as short:
            assert np.array_equal(long.codes(), np.concatenate([short.codes(0, 8192)] * 3))
    found = end_to_end(model_dir, tmp_path / "hw.h5", 10000, 1)
    assert found["events"] == 16384 and 1e7 < found["peak_bytes"] < 1e9
    write_hw_sample(tmp_path / "none.h5", codes[:0])
    with pytest.raises(InputError, match="chunks is None; expected at least one whole chunk"):
        repeat_sample(tmp_path / "none.h5", tmp_path / "long.h5", 5)
