"""What a training reads of each event: arrays of a part of the sample, one function per family of losses.

The training sees what the hardware sees: integer object codes through the model's own input stage. `prepare` gives
the arrays of a card; the loss of the same name (`training.losses`) gets them, batch by batch. A new family is a
function here, a class there and a name in `models.card.LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ad40 import spec
from ad40.emulator import Emulator
from ad40.objects import decode, present
from ad40.split import TRAIN
from models.card import FEATURES, Card
from training import freeze
from training.datasets import Background
from training.teach import decorrelate, distil, scored
from training.views import view

Floats = NDArray[np.float32]
Arrays = tuple[Floats, ...]  # of equal length; the first holds the inputs (n, n_inputs)


def network_inputs(card: Card, codes: NDArray[np.integer]) -> Floats:
    """Inputs float32 (n, n_inputs) of events (n, 19, 3): the values of the model's own input stage (one definition,
    `ad40.emulator`)."""
    widths = [card.n_inputs, *(layer.units for layer in card.layers)]
    blank = {
        layer.name: (np.zeros((n_in, layer.units)), np.zeros(layer.units))
        for n_in, layer in zip(widths, card.layers, strict=False)
    }
    x = Emulator(freeze.integer_network(card, blank)).inputs(codes)  # the input stage needs no weights
    return card.input_format.dequantise(x).astype(np.float32)


def reconstruction(card: Card, sample: Background, part: str) -> Arrays:
    """Inputs, and loss weights (n, 57): 1 for a scored feature of a present object, `absent_weight` for one of an
    absent object, 0 for a feature that is not scored."""
    codes = sample.codes[sample.rows(part)]
    here = np.repeat(present(codes), len(FEATURES), axis=1)
    weight = np.where(here, 1.0, card.training.absent_weight) * card.scored_inputs(spec.objects())
    return network_inputs(card, codes), weight.astype(np.float32)


NARROWEST_GEV = 1.0  # of the spread of pt in a slot that is nearly always empty


def variational(card: Card, sample: Background, part: str) -> Arrays:
    """Inputs, what the decoder predicts (n, 19), and its weights (n, 19): 1 for present objects, `absent_weight` else.

    As in arXiv 2108.03986, pt is standardised slot by slot over the training part, empty slots included, so that
    objects which are rarely there count for much. Unlike there, the decoder predicts pt only: with eta and phi, three
    latent variables tell the angles of the hardest objects and little else.
    """
    codes = sample.codes[sample.rows(part)]
    pt, spread = decode(codes)[..., 0], decode(sample.codes[sample.rows(TRAIN)])[..., 0]
    here = present(codes)
    target = (pt - spread.mean(axis=0)) / np.maximum(spread.std(axis=0), NARROWEST_GEV) * here
    return network_inputs(card, codes), target, np.where(here, 1, card.training.absent_weight).astype(np.float32)


def embedding(card: Card, sample: Background, part: str) -> Arrays:
    """Inputs of the events, and of two views of each."""
    codes = sample.codes[sample.rows(part)]
    views = (view(codes, 2 * card.training.seed + i) for i in range(2))
    return network_inputs(card, codes), *(network_inputs(card, changed) for changed in views)


def distillation(card: Card, sample: Background, part: str) -> Arrays:
    """Inputs, targets (n,) and weights (n, edges) of the events that the teacher has marked; with `decorrelate` also
    the share (n,) of the background that the other model puts as high."""
    codes, target, weight = (scored if card.training.teacher else distil).targets(card, sample, part)
    found = network_inputs(card, codes), target, weight
    if card.training.decorrelate is None:
        return found
    return *found, decorrelate.shares(card.training.decorrelate.model, sample, part, len(codes))


PREPARE: dict[str, Callable[[Card, Background, str], Arrays]] = {
    "l1": reconstruction,
    "mse": reconstruction,
    "variational": variational,
    "embedding": embedding,
    "distil": distillation,
}


def prepare(card: Card, sample: Background, part: str) -> Arrays:
    """The arrays of a part of the sample (train or validation) that the loss of a card reads."""
    return PREPARE[card.training.loss](card, sample, part)
