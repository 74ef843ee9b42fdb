"""A teacher that is any anomaly score: the student learns from a score file that another room wrote.

`training: {loss: distil, teacher: FILE}` in a card names a score file of `ad40 reference score` (docs/references.md):
of one reference, such as a normalising flow, or of the mean of several. It holds a score of each event that the
student learns from; those are written first,

    python -m training.teach.scored CARD --sample DIR --output events.h5

the background of the training and validation parts with the corrupted events of the card's families, as for the
built-in teacher (`training.teach.distil`). The hash of their codes in the score file says that they are the same.

The student's output is -log10 of the background's p-value of the score. The built-in teacher knows likelihood ratios,
from which the loss weights follow; of an anomaly score nothing is known but its rank, so that the ratio is taken to be
that against an alternative for which all values of -log10 p are as probable: 1/p, up to a constant.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad40 import defaults, hdf5
from ad40.errors import HashMismatch, InputError
from ad40.events import write_hw_sample
from ad40.objects import codes_hash
from ad40.split import TRAIN, VALIDATION
from models.card import Card, read_card
from training.datasets import Background, load_background
from training.teach import distil
from training.teach.teacher import EXPONENTS, P_VALUES, SLOPE, Teacher, check_families

PARTS = (TRAIN, VALIDATION)
SCORE, CODES_HASH = "score", "codes_sha256"  # in the score file

Reals = NDArray[np.float64]


def events(card: Card, sample: Background) -> NDArray[np.int16]:
    """All events (n, 19, 3) that the student of a card reads: of the training part, then of the validation part.

    Raises `InputError` for a family of the card that there is not.
    """
    check_families(distil.families_of(card))
    return np.concatenate([distil.events(card, sample, part) for part in PARTS])


def scale(knots: Reals) -> Teacher:
    """What a teacher knows of the scale of a score with these quantiles at `P_VALUES`."""
    nothing = np.zeros(0)
    return Teacher((), (), nothing, nothing, nothing, knots)


def targets(card: Card, sample: Background, part: str) -> distil.Arrays:
    """As `training.teach.distil.targets`, from the score file of the card.

    Raises `InputError` when it is none or its score has no scale, `HashMismatch` when it is of other events.
    """
    check_families(distil.families_of(card))
    codes = {name: distil.events(card, sample, name) for name in PARTS}
    score = _read(Path(card.training.teacher), np.concatenate(list(codes.values())))
    start = {TRAIN: 0, VALIDATION: len(codes[TRAIN])}
    clean = score[start[VALIDATION] :][: len(sample.rows(VALIDATION))]
    knots = np.quantile(clean, 1 - np.array(P_VALUES))
    if (np.diff(knots) < 0).any() or knots[-1] <= knots[-SLOPE]:
        raise InputError(card.training.teacher, SCORE, "nearly constant", "a score that tells background events apart")
    exponent = scale(knots).significance(score[start[part] :][: len(codes[part])])
    flat = scale(EXPONENTS * math.log(10))
    weight = distil.weights(exponent * math.log(10), flat)
    return codes[part], np.clip(exponent, 0.0, distil.TOP).astype(np.float32), weight


def _read(path: Path, codes: NDArray[np.int16]) -> Reals:
    """The scores of a file, when they are of these events."""
    with hdf5.open_file(path) as file:
        if SCORE not in file or CODES_HASH not in file.attrs:
            raise InputError(path, SCORE, "missing, or not of known events", "a file of `ad40 reference score`")
        found, score = str(file.attrs[CODES_HASH]), np.asarray(file[SCORE][:], np.float64)
    wanted = codes_hash(codes)
    if found != wanted or score.shape != (len(codes),):
        expected = f"{wanted[:12]}, the events of this card and sample: python -m training.teach.scored writes them"
        raise HashMismatch(path, CODES_HASH, found[:12], expected)
    return score


def main(arguments: list[str] | None = None) -> None:
    """Write the events of a card that a teacher is to score."""
    parser = argparse.ArgumentParser("python -m training.teach.scored", description="events that a student learns from")
    parser.add_argument("card", type=Path, help="model card with the loss distil")
    parser.add_argument("--sample", type=Path, default=defaults.SAMPLE, help="sample folder (%(default)s)")
    parser.add_argument("--events", type=int, help="read only the first so many background events, as `ad40 train`")
    parser.add_argument("--output", type=Path, required=True, metavar="EVENTS.h5", help="event file to write")
    args = parser.parse_args(arguments)
    card = read_card(args.card)
    if card.training.loss != "distil":
        raise InputError(args.card, "training.loss", card.training.loss, "distil, the loss that has a teacher")
    codes = events(card, load_background(args.sample, args.events))
    write_hw_sample(args.output, codes, {}, {})
    print(f"{len(codes):,} events, written: {args.output}")


if __name__ == "__main__":
    main()
