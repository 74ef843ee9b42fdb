"""No verb works for minutes and then finds that it cannot write: each refuses such an output first, by name."""

from pathlib import Path

import pytest

from ad40.cli import main
from ad40.events import write_hw_sample
from ad40.files import writable_folder
from ad40.model import read_model
from ad40.trigger import trigger

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = str(ROOT / "training" / "sample")
CARD = str(ROOT / "models" / "ad40_v1" / "model.yaml")
MODEL = str(ROOT / "models" / "ad40_v1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", CARD, "--sample", SAMPLE, "--output"],
        ["evaluate", MODEL, "--sample", SAMPLE, "--plots"],
        ["compile", MODEL, "--output"],
        ["search", "KEPT", "--output"],
        ["generate", "W", "--events", "5", "--output"],
        ["report", "FOLDER", "--output"],
        ["emulate", "EVENTS", "--model", MODEL, "--output"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_output_below_a_file_is_refused(
    arguments: list[str], model_dir: Path, codes: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, kept, blocked = tmp_path / "events.h5", tmp_path / "kept.h5", tmp_path / "blocked"
    write_hw_sample(events, codes)  # type: ignore[arg-type]
    trigger(events, read_model(model_dir).trigger, kept)
    blocked.write_text("")
    names = {"KEPT": str(kept), "EVENTS": str(events), "FOLDER": str(tmp_path)}
    arguments = [names.get(a, a) for a in arguments]
    code = main([*arguments, str(blocked / "deeper" / "out")])
    message = capsys.readouterr().err
    if "is not installed" in message:
        pytest.skip(message.strip())
    assert code == 2 and "blocked" in message and "cannot be written" in message
    assert blocked.read_text() == ""


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    writable_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
