"""The supervised limit: boosted trees trained for one signal alone.

A trigger that does not know its signal is not expected to reach it; the fraction of it that a model reaches says more
than the TPR alone. There are two: trees on the same 57 integers that the models read, and trees that get physics
quantities (`training.teach.features`) beside them, which says what better inputs could be worth.
`python -m training.compare.limits SAMPLE` fits all of them ahead of `ad40 compare`, which keeps the scores in a cache:
a fit is deterministic, and its file is named by a hash of everything that enters.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import metrics
from ad40.errors import Ad40Error, InputError
from ad40.files import atomic_path, file_hash, read_yaml, sha256_of
from ad40.progress import Progress
from ad40.schema import Node
from ad40.split import TEST, TRAIN, VALIDATION, part_of
from training.datasets import Background, load_background, load_signal, signal_names
from training.teach import features
from training.teach.trees import boosted_trees

SETTINGS = Path(__file__).with_name("compare.yaml")
CACHE = Path("build/limits")
INTEGERS, PHYSICS = "57 integers", "57 integers and physics quantities"
INPUTS = (INTEGERS, PHYSICS)


@dataclass(frozen=True)
class Limit:
    """Trees for one signal. background: float32 (n,) scores of the test rows of the background; signal: float32 (m,) of
    the rows `rows` of the signal, its test part. inputs: one of `INPUTS`. trees: how many were grown."""

    name: str
    inputs: str
    background: NDArray[np.float32]
    signal: NDArray[np.float32]
    rows: NDArray[np.int64]
    trees: int


def settings() -> dict[str, Any]:
    """How the trees are grown: section `limits` of compare.yaml."""
    node = Node(read_yaml(SETTINGS), SETTINGS)["limits"]
    node.keys({"max_background", "max_iter", "learning_rate", "max_leaf_nodes", "min_samples_leaf",
               "l2_regularization", "n_iter_no_change", "seed"})  # fmt: skip
    counts = ("max_background", "max_iter", "max_leaf_nodes", "min_samples_leaf", "n_iter_no_change", "seed")
    found: dict[str, Any] = {key: node[key].integer(1, 10**9) for key in counts}
    return found | {key: node[key].number(0.0, 1e6) for key in ("learning_rate", "l2_regularization")}


def limit(
    sample: Background, folder: Path, name: str, inputs: str, cache: Path = CACHE, events: int | None = None
) -> Limit:
    """The limit for one signal of a sample folder, from the cache or fitted now and put there.

    events: only the first so many of the signal, as `load_signal` takes them.
    """
    classifier, version = boosted_trees()
    chosen = settings()
    key = sha256_of({
        "background": sample.fingerprint, "signal": file_hash(folder / f"{name}.h5"), "events": events,
        "inputs": inputs, "settings": chosen, "scikit-learn": version,
        "code": [file_hash(module) for module in (__file__, features.__file__)],
    })  # fmt: skip
    path = cache / f"{name}-{key[:16]}.npz"
    if not path.is_file():
        found = _fit(classifier, sample, load_signal(folder, name, events), name, inputs, chosen, folder)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, background=found.background, signal=found.signal, rows=found.rows,
                                trees=found.trees)  # fmt: skip
    with np.load(path) as data:
        return Limit(name, inputs, data["background"], data["signal"], data["rows"], int(data["trees"]))


def inputs_of(codes: NDArray[np.integer], inputs: str) -> NDArray[np.float32]:
    """What the trees read of codes (n, 19, 3): float32 (n, 57), or with the physics quantities beside them."""
    raw = codes.reshape(len(codes), -1).astype(np.float32)
    return raw if inputs == INTEGERS else np.concatenate([raw, features.features(codes)], axis=1)


def _fit(
    classifier: Any,
    sample: Background,
    signal: NDArray[np.int16],
    name: str,
    inputs: str,
    chosen: dict[str, Any],
    folder: Path,
) -> Limit:
    """Fit on the training part, stop on the validation part, score the test part."""
    mine = {part: part_of(np.arange(len(signal)), part) for part in (TRAIN, VALIDATION, TEST)}
    theirs = {part: sample.rows(part) for part in mine}
    theirs[TRAIN] = theirs[TRAIN][: chosen["max_background"]]
    for part, rows in mine.items():
        if len(rows) < 2:
            raise InputError(folder / f"{name}.h5", "events", len(signal), f"two or more in the {part} part")
    x, y = {}, {}
    for part in (TRAIN, VALIDATION):
        both = [sample.codes[theirs[part]], signal[mine[part]]]
        x[part] = inputs_of(np.concatenate(both), inputs)
        y[part] = np.repeat([0.0, 1.0], [len(one) for one in both])
    trees = classifier(
        max_iter=chosen["max_iter"], learning_rate=chosen["learning_rate"], early_stopping=True,
        max_leaf_nodes=chosen["max_leaf_nodes"], min_samples_leaf=chosen["min_samples_leaf"],
        l2_regularization=chosen["l2_regularization"], n_iter_no_change=chosen["n_iter_no_change"],
        random_state=chosen["seed"],
    )  # fmt: skip
    trees.fit(x[TRAIN], y[TRAIN], X_val=x[VALIDATION], y_val=y[VALIDATION])
    scores = [trees.decision_function(inputs_of(codes, inputs)).astype(np.float32)
              for codes in (sample.codes[theirs[TEST]], signal[mine[TEST]])]  # fmt: skip
    return Limit(name, inputs, *scores, mine[TEST], int(trees.n_iter_))


def main(folders: list[str]) -> int:
    try:
        for folder in folders:
            sample, names = load_background(folder), signal_names(folder)
            with Progress(len(names) * len(INPUTS), "supervised limits", "fits") as progress:
                for name, inputs in product(names, INPUTS):
                    found = limit(sample, Path(folder), name, inputs)
                    value = metrics.tpr_at_fpr(found.background, found.signal, 1e-3)[1]
                    area = metrics.auc(found.background, found.signal)[1]
                    print(f"{name:<12} AUC {area:.3f}, TPR@1e-3 {value:.2%}, {inputs}, {found.trees} trees", flush=True)
                    progress.update()
    except Ad40Error as error:
        print(f"limits: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
