"""A rule as a frozen network: comparisons, ANDs and a sum are neurons, exact to the bit.

A unit relu(w x + b) of whole numbers whose output has one bit and saturates is 1 where w x + b >= 1 and 0 elsewhere:

* comparison      quantity >= t: weights of the quantity, b = 1 - t; quantity < t: weights with the other sign, b = t
* leaf of a tree  AND of k comparisons: weights 1, b = 1 - k; of one that must fail: weight -1, and b one more
* score           cuts: weights 1, the number of passed cuts; trees: the values of the leaves

So cuts are a network of two layers and trees of three, in the format of every other network of this project, and each
executor of networks runs them: emulator, C++, firmware. Units without a use, such as leaves of value 0, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec
from ad40.fixed import Fixed
from ad40.network import Layer, Network
from ad40.score import Score
from offline.seeds.quantities import Quantity, input_stage
from offline.seeds.rules import Cut, Cuts, Rule

BIT = Fixed(False, 1, 0)
N_INPUTS = objects.N_INPUTS + objects.N_OBJECTS
Integers = NDArray[np.int64]


def network_of(rule: Rule, names: Sequence[Quantity], name: str, version: str) -> Network:
    """The network that gives the score of a rule on the quantities `names`."""
    if isinstance(rule, Cuts):
        cuts = list(dict.fromkeys(rule.cuts))
        layers = [_comparisons(cuts, names), _sum([rule.cuts.count(cut) for cut in cuts], rule.highest)]
    else:
        leaves = [leaf for tree in rule.trees for leaf in tree.leaves() if leaf[1]]
        first = sorted({_plain(cut) for path, _ in leaves for cut in path})
        ands = np.zeros((len(first), len(leaves)), np.int64)
        bias = np.ones(len(leaves), np.int64)
        for k, (path, _) in enumerate(leaves):
            for cut in set(path):
                ands[first.index(_plain(cut)), k] += -1 if cut.below else 1
                bias[k] -= 0 if cut.below else 1
        layers = [_comparisons(first, names), _layer("leaves", ands, bias, BIT),
                  _sum([value for _, value in leaves], rule.highest)]  # fmt: skip
    score = Score("output", np.ones(1, np.bool_))
    used = np.asarray(layers[0].weight.any(axis=1))
    return Network(name, version, spec.objects().hash, input_stage(used), tuple(layers), score)


def _plain(cut: Cut) -> Cut:
    """The comparison behind a cut, which may ask it to fail."""
    return cut.other if cut.below else cut


def _comparisons(cuts: Sequence[Cut], names: Sequence[Quantity]) -> Layer:
    weight = np.zeros((N_INPUTS, len(cuts)), np.int64)
    bias = np.zeros(len(cuts), np.int64)
    for k, cut in enumerate(cuts):
        sign = -1 if cut.below else 1
        for column, value in names[cut.column].weights:
            weight[column, k] = sign * value
        bias[k] = cut.least if cut.below else 1 - cut.least
    return _layer("comparisons", weight, bias, BIT)


def _sum(weights: Sequence[int], highest: int) -> Layer:
    column = np.array(weights, np.int64)[:, None]
    return _layer("sum", column, np.zeros(1, np.int64), Fixed(False, max(highest, 1).bit_length(), 0))


def _layer(name: str, weight: Integers, bias: Integers, output: Fixed) -> Layer:
    """A layer of whole numbers in the narrowest signed formats that hold them."""
    return Layer(name, weight, _whole(weight), bias, _whole(bias), "relu", output)


def _whole(values: Integers) -> Fixed:
    most = int(max(values.max(initial=0), -values.min(initial=0), 1))
    return Fixed(True, most.bit_length(), 0)
