"""The model of the high-level stage: an ONNX file, run by ONNX Runtime on one thread of a processor.

The file has one input, float32 (n, 57): what `offline.inputs.standardised` makes of codes; and one output, float32 (n,)
or (n, 1): the anomaly score, larger = more anomalous. `ad40 reference export` writes such files; its metadata `ad40`
(JSON with kind, hash and spec_hash) says which model it is. Files without it are taken, under the name of the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.errors import HashMismatch, InputError, MissingTool
from offline.inputs import names, standardised

METADATA = "ad40"
N_INPUTS = len(names())

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scorer:
    """A loaded model. name: its kind, or that of the file; sha256: of the file; about: its metadata."""

    path: Path
    name: str
    sha256: str
    about: dict[str, Any]
    session: Any
    input: str

    def infer(self, inputs: Floats) -> Floats:
        """Scores float32 (n,) of standardised inputs float32 (n, 57), in one call of the runtime."""
        found: Floats = self.session.run(None, {self.input: inputs})[0].reshape(-1)
        return found

    def score(self, codes: NDArray[np.integer], batch: int = 1) -> Floats:
        """Scores float32 (n,) of codes (n, 19, 3), `batch` events at a time.

        With batch 1, as the stage runs, a score depends on nothing but its event; with another batch the runtime sums
        in another order and the last bits differ. Raises `InputError` on a score that is no finite number.
        """
        n = len(codes)
        score = np.empty(n, np.float32)
        inputs = standardised(codes) if n else np.zeros((0, N_INPUTS), np.float32)
        for start in range(0, n, batch):
            score[start : start + batch] = self.infer(inputs[start : start + batch])
        if not np.isfinite(score).all():
            row = int(np.flatnonzero(~np.isfinite(score))[0])
            raise InputError(self.path, f"score of event {row}", score[row], "a finite number")
        return score


def load(path: str | Path) -> Scorer:
    """Read an ONNX file and see that it is such a model.

    Raises `InputError` on anything else, `HashMismatch` for a model of other object scales, `MissingTool` without ONNX
    Runtime.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingTool(f"the package '{error.name}'", "`pip install 'ad40[offline]'`") from error
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, "model", error.strerror or str(error), "a readable ONNX file") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # the errors are ours to tell
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has an exception class for each cause, all of them private
        reason = str(error).splitlines()[0][:200]
        raise InputError(path, "model", f"nothing that ONNX Runtime loads ({reason})", "an ONNX file") from error
    _check(path, session)
    about = _metadata(path, session)
    if about.get("spec_hash", spec.objects().hash) != spec.objects().hash:
        raise HashMismatch(path, "hash of the object scales", about["spec_hash"], spec.objects().hash)
    name = str(about.get("kind", path.stem))
    return Scorer(path, name, sha256(content).hexdigest(), about, session, session.get_inputs()[0].name)


def _check(path: Path, session: Any) -> None:
    """One input (n, 57), one output (n,) or (n, 1), both float32."""
    for what, found, wanted in (
        ("inputs", session.get_inputs(), f"one, float32 (n, {N_INPUTS})"),
        ("outputs", session.get_outputs(), "one, float32 (n,) or (n, 1)"),
    ):
        shown = ", ".join(f"{one.name} {one.type} {one.shape}" for one in found)
        shape = found[0].shape
        free = len(shape) > 0 and not isinstance(shape[0], int)
        rest = list(shape[1:])
        right = rest == [N_INPUTS] if what == "inputs" else rest in ([], [1])
        if len(found) != 1 or found[0].type != "tensor(float)" or not free or not right:
            raise InputError(path, what, shown, wanted)


def _metadata(path: Path, session: Any) -> dict[str, Any]:
    """What the file says of itself under `ad40`."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA, "{}")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(path, f"metadata '{METADATA}'", repr(text[:60]), "a JSON document") from error
    if not isinstance(found, dict):
        raise InputError(path, f"metadata '{METADATA}'", repr(text[:60]), "a JSON document with keys")
    return found
