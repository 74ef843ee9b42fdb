"""The frozen network document: round trip, and every mistake named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import HashMismatch, InputError, SpecError
from ad40.network import Network, read_network, write_network


def test_round_trip(network: Network, tmp_path: Path) -> None:
    write_network(tmp_path / "network.json", network)
    back = read_network(tmp_path / "network.json")
    assert back.hash == network.hash
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(back.layers, network.layers, strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["network.json"]


def test_largest_score_is_reached(network: Network) -> None:
    from ad40.network import score_codes

    x, y = network.input.format, network.layers[-1].output
    inputs = np.full((1, 57), x.max_code)
    outputs = np.full((1, 57), y.min_code)
    worst = score_codes(network, inputs, outputs, np.ones((1, 19), np.bool_))
    assert worst.tolist() == [network.score_max]
    assert network.score_max < 1 << network.score_width


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "unknown key": (lambda d: d.update(gain=1), SpecError, "gain is an unknown key"),
    "newer format": (lambda d: d.update(format_version=2), SpecError, "format_version is 2"),
    "edited weight": (lambda d: d["layers"][0]["weight"][0].__setitem__(0, 9), HashMismatch, "hash of the content"),
    "other scales": (lambda d: d.update(spec_hash="1" * 64), HashMismatch, "hash"),
    "weight beyond its format": (
        lambda d: d["layers"][1]["weight"][0].__setitem__(0, 16), SpecError, "layers[1].weight is -"),
    "ragged weights": (lambda d: d["layers"][1]["weight"][0].pop(), SpecError, "layers[1].weight is "),
    "float weight": (lambda d: d["layers"][1]["weight"][0].__setitem__(0, 0.5), SpecError, "integers of shape (12, 4)"),
    "too few outputs": (lambda d: d["layers"].pop(), SpecError, "layers is 12 outputs"),
    "activation": (lambda d: d["layers"][0].update(activation="tanh"), SpecError, "layers[0].activation is 'tanh'"),
    "score": (lambda d: d["score"].update(kind="mse"), SpecError, "score.kind is 'mse'"),
    "nothing scored": (lambda d: d["score"].update(mask=[0] * 57), SpecError, "at least one scored input"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path, network: Network) -> None:
    path = tmp_path / "network.json"
    write_network(path, network)
    document = json.loads(path.read_text())
    change, kind, message = MISTAKES[mistake]
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(kind) as error:
        read_network(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_scales_changed_after_freezing(tmp_path: Path, network: Network) -> None:
    import dataclasses

    write_network(tmp_path / "n.json", dataclasses.replace(network, spec_hash="2" * 64))
    with pytest.raises(HashMismatch, match="spec_hash is 2222"):
        read_network(tmp_path / "n.json")


@pytest.mark.parametrize(("content", "message"), [("{", "line 1"), ("[1, 2]", "a mapping with the keys"), ("\xff", "")])
def test_not_a_document(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_network(path)
    assert message in str(error.value)
