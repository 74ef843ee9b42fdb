"""Released models give what they were released with: any other answer fails here until the version is raised."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ad40 import golden, released
from ad40.cli import main
from ad40.errors import Ad40Error, CheckError, HashMismatch, InputError
from ad40.menu import ModelRef, write_menu
from ad40.model import Model, read_model
from ad40.network import Network, write_network
from ad40.verify import verify_golden
from training.release import pin

ROOT = Path(__file__).resolve().parents[2]
NAME = "ad40_v1"


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the released models that tests may change, in the place of the real ones."""
    folder = (tmp_path / "models").resolve()
    for name in released.names():
        (folder / name).mkdir(parents=True)
        for file in released.FILES:
            (folder / name / file).write_bytes((released.FOLDER / name / file).read_bytes())
    (folder / released.LIST).write_bytes((released.FOLDER / released.LIST).read_bytes())
    monkeypatch.setattr(released, "FOLDER", folder)
    return folder


def freeze_again(before: Model, network: Network | None = None, **menu: object) -> Model:
    """Another network or menu in the folder of a model, with hashes that fit together, as a careful hand would."""
    network = network or before.network
    refs = (ModelRef(network.name, network.hash),)
    model = Model(before.folder, network, replace(before.menu, models=refs, **menu))
    codes = golden.read(before.folder / golden.FILE).codes
    write_network(before.folder / "network.json", network)
    write_menu(before.folder / "menu.yaml", model.menu)
    golden.write(before.folder / golden.FILE, golden.emulate(model, codes))
    return model


def one_weight(network: Network) -> Network:
    """The lowest bit of one weight that is not zero, turned."""
    layer = network.layers[0]
    weight = layer.weight.copy()
    row, column = (int(i[0]) for i in np.nonzero(weight))
    weight[row, column] ^= 1
    return replace(network, layers=(replace(layer, weight=weight), *network.layers[1:]))


def one_threshold(model: Model) -> tuple[object, ...]:
    seeds = model.menu.seeds
    return (*seeds[:-1], replace(seeds[-1], threshold=seeds[-1].threshold ^ 1))


def test_the_released_models() -> None:
    """Every folder of models/ is pinned in its present version, and gives its golden vectors."""
    folders = sorted(path.parent.name for path in (ROOT / "models").glob("*/network.json"))
    assert folders == sorted(released.names()) and NAME in folders
    for name in folders:
        model, last = read_model(name), [one for one in released.releases() if one.name == name][-1]
        hint = "raise the version in the model card, freeze again and run `python -m training.release`"
        assert model.network.version == last.version, hint
    summary = verify_golden([released.FOLDER / name for name in folders])
    assert summary["mismatches"] == 0 and all(row["released"] and row["events"] > 500 for row in summary["models"])
    codes = golden.read(released.FOLDER / NAME / golden.FILE)
    assert len(np.unique(codes.answers["hw_score"])) > 100, "scores spread"
    assert 0 < codes.answers["l1a"].sum() < len(codes.codes), "both decisions occur"


def test_no_release_is_ever_changed() -> None:
    """The list only grows: every entry that any commit had is in it, as it was."""
    path = f"models/{released.LIST}"

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    commits = git("log", "--format=%H", "--", path).split()
    if not commits:
        pytest.skip("no git history of the list of releases here")
    now = yaml.safe_load((ROOT / path).read_text())["releases"]
    for commit in commits:
        for entry in yaml.safe_load(git("show", f"{commit}:{path}") or "{}").get("releases", []):
            assert entry in now, f"{entry['name']} {entry['version']} of commit {commit[:12]} is changed or gone"


@pytest.mark.parametrize("change", ["weight", "threshold", "golden"])
def test_another_answer_under_the_same_version(change: str, releases: Path, tmp_path: Path) -> None:
    """All hashes fit together, as after training again; only the list of releases knows better."""
    before = read_model(NAME)
    if change == "golden":
        read = golden.read(before.folder / golden.FILE)
        after = before
        golden.write(before.folder / golden.FILE, golden.emulate(before, read.codes[1:]))
        file = "golden.npz"
    elif change == "weight":
        after, file = freeze_again(before, one_weight(before.network)), "network.json"
    else:
        after, file = freeze_again(before, seeds=one_threshold(before)), "menu.yaml"
    for model in (NAME, releases / NAME):
        with pytest.raises(HashMismatch, match=rf"{file}: SHA-256 is .* that of the released ad40_v1 1\.0"):
            read_model(model)
    assert main(["verify", "--golden"]) == 2
    with pytest.raises(
        InputError, match=r"version is 1\.0; expected above 1\.0: that one is released with other answers"
    ):
        pin(after)
    # a copy elsewhere that claims to be the release
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in released.FILES:
        (copy / name).write_bytes((releases / NAME / name).read_bytes())
    if change == "golden":  # fewer golden vectors are no other answers
        assert verify_golden([copy])["models"][0]["events"] == len(read.codes) - 1
    else:
        with pytest.raises(HashMismatch, match=rf"{file}: hash of the content .* other answers need another version"):
            verify_golden([copy])


def test_a_raised_version(releases: Path) -> None:
    """Under a new version it may be released, beside the entry of the old one; a lower one may not."""
    before = read_model(NAME)
    changed = one_weight(before.network)
    lower = freeze_again(before, replace(changed, version="0.9"))
    with pytest.raises(InputError, match=r"version is 0\.9; expected above 1\.0"):
        pin(lower)
    named = freeze_again(before, replace(changed, version="next"))
    with pytest.raises(InputError, match="version is next; expected numbers and dots"):
        pin(named)
    after = freeze_again(before, replace(changed, version="1.10"))
    assert [row["released"] for row in verify_golden([releases / NAME])["models"]] == [False]
    old = released.releases()
    entry = pin(after)
    assert released.releases() == (*old, entry) and entry.network_hash == after.network.hash != before.network.hash
    assert pin(after) == entry and len(released.releases()) == len(old) + 1, "pinned once"
    assert verify_golden([releases / NAME])["models"][0]["released"]
    assert main(["verify", "--golden", NAME]) == 0
    with pytest.raises(InputError, match="version is 1.9; expected above 1.10"):
        pin(freeze_again(after, replace(changed, version="1.9")))


def test_golden_vectors_that_do_not_come_out(
    releases: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An emulator that gives something else: exit code 1, with event, object and field."""
    before = read_model(NAME)
    read = golden.read(before.folder / golden.FILE)
    outputs = read.answers["outputs"].copy()
    outputs[700, 3 * 11] += 1
    stale = replace(before.network, version="2.0")
    model = freeze_again(before, stale)
    answers = golden.read(model.folder / golden.FILE)
    golden.write(model.folder / golden.FILE, replace(answers, answers=answers.answers | {"outputs": outputs}))
    assert main(["verify", "--golden", NAME, "--json", str(tmp_path / "s.json")]) == 1
    message = capsys.readouterr().err
    assert "golden.npz != emulator: 1/834 events; first at event 700, output jet[2].pt " in message
    summary = yaml.safe_load((tmp_path / "s.json").read_text())
    assert summary["mismatches"] == 1 and summary["models"][0]["first"][0]["field"] == "output jet[2].pt"
    with pytest.raises(CheckError, match=r"output jet\[2\]\.pt"):
        pin(model)


@pytest.mark.parametrize("file", released.FILES)
def test_one_flipped_bit_is_refused(file: str, releases: Path) -> None:
    """Of a released model: wherever the bit is. The error names the file."""
    path = releases / NAME / file
    good, rng = path.read_bytes(), np.random.default_rng(5)
    for bit in rng.choice(8 * len(good), 60, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(InputError) as caught:
            read_model(NAME)
        assert caught.value.file == str(path), f"bit {bit}: {caught.value}"
    path.write_bytes(good)
    assert read_model(NAME).network.name == NAME


@pytest.mark.parametrize("file", ["network.json", "menu.yaml"])
def test_one_flipped_bit_of_any_model(file: str, releases: Path, tmp_path: Path) -> None:
    """Of a folder that no list pins: refused, or the same content in other words."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("network.json", "menu.yaml"):
        (folder / name).write_bytes((releases / NAME / name).read_bytes())
    path, before = folder / file, read_model(folder)
    good, rng = path.read_bytes(), np.random.default_rng(6)
    refused = 0
    for bit in rng.choice(8 * len(good), 120, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            after = read_model(folder)
            assert (after.network.hash, after.menu.hash) == (before.network.hash, before.menu.hash)
        except Ad40Error as error:
            assert str(folder) in str(error)
            refused += 1
    assert refused > 110


def test_a_list_with_faults(releases: Path) -> None:
    listing = releases / released.LIST
    text = listing.read_text()
    for bad, message in (
        (text.replace("menu_hash", "menu_hush", 1), r"releases\[0\]\.menu_hush is an unknown key"),
        (
            text + text.removeprefix("releases:\n"),
            rf"releases\[{text.count('- name:')}\]\.version is '1\.0'; expected a version released once",
        ),
        (text.replace("    golden.npz", "    gold.npz"), r"releases\[0\]\.files\.gold\.npz is an unknown key"),
        ("[]", "document is"),
    ):
        listing.write_text(bad)
        released.read_releases.cache_clear()
        with pytest.raises(InputError, match=message):
            released.names()
    released.read_releases.cache_clear()
    (releases / NAME / "golden.npz").unlink()
    listing.write_text(text)
    with pytest.raises(InputError, match=r"golden\.npz: file is missing"):
        read_model(NAME)
