"""Score files: what is written comes back; another table's scores and anything malformed are refused."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from ad40.errors import HashMismatch, InputError
from offline import scores


@dataclass(frozen=True)
class Rows:
    n: int
    sha256: str = "f" * 64


SCORE = np.linspace(-12, -3, 1000).astype(np.float32)
ABOUT = {"model": "toy", "hash": "a" * 64}


def test_pieces_come_back_whole(tmp_path: Path) -> None:
    training = np.arange(1000) % 100 == 0
    scores.write(tmp_path / "s.h5", Rows(1000), iter(np.split(SCORE, [10, 700])), training, **ABOUT)
    found = scores.read(tmp_path / "s.h5", Rows(1000))
    assert (found.score == SCORE).all() and (found.training == training).all()
    assert found.correction == 0.99 and found.searched.sum() == 990
    assert found.attributes == {
        "version": 1, "model": "toy", "hash": "a" * 64, "quantity": "ln loss", "table": "f" * 64, "events": 1000,
    }  # fmt: skip


def test_any_model_may_write_one(tmp_path: Path) -> None:
    scores.write(tmp_path / "s.h5", Rows(3), np.array([1, 5, 2]), quantity="hw_score", **ABOUT)
    found = scores.read(tmp_path / "s.h5")
    assert found.score.tolist() == [1, 5, 2]
    assert not found.training.any()


def test_no_events(tmp_path: Path) -> None:
    scores.write(tmp_path / "s.h5", Rows(0), SCORE[:0], **ABOUT)
    assert scores.read(tmp_path / "s.h5", Rows(0)).correction == 1


@pytest.mark.parametrize(
    ("score", "training", "message"),
    [
        (SCORE[:999], None, "scores is 999"),
        (np.append(SCORE, 1), None, "1000 in all"),
        (np.where(np.arange(1000) == 7, np.nan, SCORE), None, "score of event 7 is nan"),
        (SCORE, np.zeros(3, bool), "one value for each of 1000 events"),
    ],
)
def test_wrong_scores_leave_no_file(tmp_path: Path, score: np.ndarray, training: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scores.write(tmp_path / "s.h5", Rows(1000), score, training, **ABOUT)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_scores_of_another_table_are_refused(tmp_path: Path) -> None:
    scores.write(tmp_path / "s.h5", Rows(1000), SCORE, **ABOUT)
    with pytest.raises(HashMismatch, match="ffffffffffff.*eeeeeeeeeeee"):
        scores.read(tmp_path / "s.h5", Rows(1000, "e" * 64))


def test_malformed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    for name, message in (("score", "score is missing"), ("training", "training is missing"), (None, "no score|attr")):
        scores.write(path, Rows(1000), SCORE, **ABOUT)
        with h5py.File(path, "r+") as file:
            if name:
                del file[name]
            else:
                del file.attrs["scores"]
        with pytest.raises(InputError, match=message):
            scores.read(path)
    path.write_text("no")
    with pytest.raises(InputError, match="format"):
        scores.read(path)
    scores.write(path, Rows(1000), SCORE, **ABOUT)
    with h5py.File(path, "r+") as file:
        file["score"][3] = np.inf
    with pytest.raises(InputError, match="score of event 3 is inf"):
        scores.read(path)
