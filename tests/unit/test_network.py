"""The frozen network document: round trip, and every mistake named."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40.errors import HashMismatch, InputError, SpecError
from ad40.network import AZIMUTHS, Network, read_network, write_network
from ad40.score import KINDS
from tests.any_network import any_network
from tests.conftest import make_network


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
    "newer format": (lambda d: d.update(format_version=4), SpecError, "format_version is 4"),
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


@pytest.mark.parametrize("azimuth", AZIMUTHS)
@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_score_survives_writing(kind: str, present: bool, azimuth: str, tmp_path: Path) -> None:
    network = any_network(3, kind=kind, present=present, azimuth=azimuth)
    write_network(tmp_path / "network.json", network)
    back = read_network(tmp_path / "network.json")
    assert (back.hash, back.score_max, back.score_fraction) == (network.hash, network.score_max, network.score_fraction)
    assert back.format_version == json.loads((tmp_path / "network.json").read_text())["format_version"]
    assert back.input.azimuth == azimuth and (back.format_version == 3) == (azimuth == "met")
    assert back.widths == network.widths and len(back.output_names) == len(back.output_fractions)


def test_a_network_that_version_1_holds_is_written_as_version_1() -> None:
    assert make_network().format_version == 1
    for kind in KINDS[1:]:
        assert any_network(3, kind=kind).format_version == 2
    assert any_network(3, present=True).format_version == 2
    assert any_network(3, azimuth="met").format_version == 3


def _wide(document: dict[str, Any]) -> None:
    document["layers"][-1]["output"].update(integer=9, fraction=9)


# mistakes in documents of version 2, by the score that they are made in
LATER: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "azimuth in version 2": (
        "masked_l2", lambda d: d["input"].update(azimuth="met"), "input.azimuth is an unknown key"),
    "version 3 without azimuth": (
        "masked_l2", lambda d: d.update(format_version=3), "input.azimuth is missing"),
    "azimuth unknown": (
        "masked_l2", lambda d: (d.update(format_version=3), d["input"].update(azimuth="jet")), "input.azimuth is 'jet'"),
    "absolute in version 3": (
        "masked_l2", lambda d: (d.update(format_version=3), d["input"].update(azimuth="absolute")),
        "format_version is 3; expected 2, the first"),
    "older version": ("masked_l2", lambda d: d.update(format_version=1), "input.present is an unknown key"),
    "present without a bit for 1": (
        "masked_l2", lambda d: d["input"].update(present=True, format={"signed": False, "integer": 0, "fraction": 4}),
        "input.format is "),
    "rows for present missing": (
        "output", lambda d: d["input"].update(present=True), "expected integers of shape (76, 4)"),
    "slope without leaky_relu": (
        "output", lambda d: d["layers"][0].update(activation="relu", slope_shift=1), "slope_shift is an unknown key"),
    "no slope": ("output", lambda d: d["layers"][0].update(activation="leaky_relu"), "slope_shift is missing"),
    "slope of one": (
        "output", lambda d: d["layers"][0].update(activation="leaky_relu", slope_shift=0), "layers[0].slope_shift is 0"),
    "layer named twice": ("output", lambda d: d["layers"][0].update(name="l1"), "each with a name of its own"),
    "shift": ("sum_squares", lambda d: d["score"].update(shift=21), "score.shift is 21"),
    "shift of everything": ("output", lambda d: d["score"].update(shift=7), "score is always 0"),
    "too wide": ("sum_squares", _wide, "bits; expected formats whose score fits 31 bits, or a larger shift"),
    "two outputs": ("sum_squares", lambda d: d.update(score={"kind": "output", "shift": 0}), "layers is 3 outputs"),
    "three outputs against 57": ("sum_squares", lambda d: d["score"].update(kind="masked_l2"), "layers is 3 outputs"),
    "mask of another layer": ("sum_squares", lambda d: d["score"].update(mask=[1] * 4), "score.mask is "),
    "no output": ("sum_squares", lambda d: d["score"].update(mask=[0] * 3), "at least one scored output"),
    "mask beside tables": ("tables", lambda d: d["score"].update(mask=[1] * 3), "score.mask is an unknown key"),
    "layer unknown": ("distance", lambda d: d["score"].update(layer="l9"), "score.layer is 'l9'"),
    "layer after itself": ("distance", lambda d: d["score"].update(layer="l2"), "score.layer is 'l2'"),
    "layer of another width": ("distance", lambda d: d["score"].update(layer="l1"), "this one has 4"),
    "no terms": ("tables", lambda d: d["score"].update(terms=[]), "score.terms is []"),
    "three factors": ("tables", lambda d: d["score"]["terms"][1].append(d["score"]["terms"][1][0]), "terms[1] is 3 factors"),
    "output beyond the last": ("tables", lambda d: d["score"]["terms"][0][0].update(output=3), "terms[0][0].output is 3"),
    "short table": ("tables", lambda d: d["score"]["terms"][0][0]["table"].pop(), "terms[0][0].table is int64 of shape (127,)"),
    "negative entry": ("tables", lambda d: d["score"]["terms"][0][0]["table"].__setitem__(4, -1), "terms[0][0].table is -1 to"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", LATER)
def test_mistakes_of_version_2_are_named(mistake: str, tmp_path: Path) -> None:
    kind, change, message = LATER[mistake]
    path = tmp_path / "network.json"
    network = any_network(3, kind=kind)
    linear = tuple(dataclasses.replace(layer, activation="linear", slope_shift=0) for layer in network.layers)
    write_network(path, dataclasses.replace(network, layers=linear))
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError) as error:
        read_network(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_document_of_a_later_version_than_needed_is_refused(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "network.json"
    write_network(path, network)
    document = json.loads(path.read_text())
    document["format_version"] = 2
    document["input"]["present"], document["score"]["shift"] = False, 0
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="format_version is 2; expected 1, the first that holds such a network"):
        read_network(path)


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
