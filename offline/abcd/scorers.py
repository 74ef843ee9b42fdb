"""Two scores of an event, by whatever gives them: a double autoencoder, or two models of the trigger in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40.emulator import Emulator
from ad40.errors import InputError
from ad40.files import file_hash
from ad40.model import read_model
from ad40.network import Network
from offline.abcd import double
from offline.inputs import Inputs, standardised

FIRST, SECOND, FLAT = "ln MSE 1", "ln MSE 2", "-log10 p of MSE 2 given MSE 1"


@dataclass(frozen=True, eq=False)
class TwoScores:
    """kind: "double autoencoder" or "pair of trigger models". names: of both scores. hash: of what gives them.
    networks: of a pair; training: what a double autoencoder was trained on."""

    kind: str
    names: tuple[str, str]
    hash: str
    score: Callable[[Inputs], NDArray[np.number]]
    networks: tuple[Network, ...]
    training: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """For a summary."""
        return {"kind": self.kind, "scores": list(self.names), "hash": self.hash}


def read_scores(models: Sequence[str | Path]) -> TwoScores:
    """One folder of `ad40 abcd train`, or two model folders or names of released models of the trigger.

    Raises `InputError` on anything else, `HashMismatch` on files that were changed.
    """
    if len(models) == 1 and (Path(models[0]) / double.DOCUMENT).is_file():
        model = double.load(models[0])
        names = (FIRST, SECOND if model.flat is None else FLAT)
        return TwoScores(double.KIND, names, model.hash, lambda some: model.score(standardised(some.codes)),
                         (), model.training)  # fmt: skip
    if len(models) != 2:
        raise InputError("command line", "MODEL", ", ".join(map(str, models)),
                         "one folder of `ad40 abcd train`, or two models of the trigger")  # fmt: skip
    one, two = (read_model(model).network for model in models)
    if one.name == two.name:
        raise InputError("command line", "MODEL", f"'{one.name}' twice", "two models of different names")
    emulators = Emulator(one), Emulator(two)

    def score(some: Inputs) -> NDArray[np.int32]:
        codes = some.codes.astype(np.int32)
        return np.stack([emulator.score(codes) for emulator in emulators], axis=1)

    hashes = f"{one.hash} {two.hash}"
    return TwoScores("pair of trigger models", (one.name, two.name), hashes, score, (one, two), {})


def add_models(parser: Any) -> None:
    """MODEL [MODEL] as arguments by position."""
    parser.add_argument("models", nargs="+", metavar="MODEL",
                        help="folder of `ad40 abcd train`, or two models of the trigger")  # fmt: skip


def refuse_seen(scores: TwoScores, path: Path, parts: Sequence[str]) -> None:
    """Refuse parts of a file that a double autoencoder has learnt from. Raises `InputError`."""
    training = scores.training
    if training.get("file_sha256") == file_hash(path) and training.get("part") in ("all", *parts):
        raise InputError(path, f"parts {' and '.join(parts)}", f"the model learnt from '{training['part']}'",
                         "a model of the train part, or another file")  # fmt: skip


def weights_of(events: Inputs, chosen: str) -> NDArray[np.float64] | None:
    """Weights (n,) of events by the cross-section that each stands for, in pb, or None for `chosen` = none.

    Raises `InputError` where the file does not say them.
    """
    if chosen == NONE:
        return None
    table = np.zeros(256)
    for code, process in events.processes.items():
        table[code] = float(process.get("event_cross_section_pb", 0.0))
    weights = table[events.process]
    if not (weights > 0).all():
        code = int(events.process[weights <= 0][0])
        raise InputError(events.source, f"process {code}", "no event_cross_section_pb", "a file of `ad40 generate`")
    return weights


NONE, CROSS_SECTION = "none", "cross-section"


def add_weights(parser: Any) -> None:
    """--weights."""
    parser.add_argument("--weights", choices=(NONE, CROSS_SECTION), default=NONE,
                        help="of background events: all alike (the mixture of the file), or by the cross-section that"
                        " the file gives for its processes (default %(default)s)")  # fmt: skip
