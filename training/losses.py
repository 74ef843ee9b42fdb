"""What the training makes small: a class for each name that a card's `training.loss` may have.

A loss is made for a card and its Keras model, may bring layers of its own that only the training needs, and gives a
scalar for a batch of the arrays of `training.prepare`. A training may have two stages: before epoch `first_stage` has
ended other layers are trained than after it.
"""

from __future__ import annotations

import itertools
from typing import Any

from ad40.objects import N_INPUTS, N_OBJECTS
from models.build import as_list, tf, tf_keras
from models.card import Card
from training.teach.decorrelate import EFFICIENCIES, POWER
from training.teach.distil import EDGES


class Loss:
    """Base of all losses. extra: a Keras model of layers that only the training has, or None. first_stage: epochs
    before the last stage."""

    extra: Any = None
    first_stage = 0

    def __init__(self, card: Card, model: Any) -> None:
        self.card, self.model = card, model

    def layers(self, last: bool) -> tuple[str, ...]:
        """Names of the card's layers that are trained in the last stage, or in the one before."""
        return tuple(layer.name for layer in self.card.layers)

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        """A scalar. batch: arrays of `training.prepare`, as tensors; seed: int32 (2,), for what is drawn."""
        raise NotImplementedError

    def outputs(self, inputs: Any) -> list[Any]:
        """Outputs of the model as a list: of the last layer, then of the earlier one of a distance."""
        return as_list(self.model(inputs, training=True))


class Reconstruction(Loss):
    """Error of the 57 inputs and outputs, summed over scored features of present objects, mean over events."""

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, weights = batch
        error = tf.abs if self.card.training.loss == "l1" else tf.square
        return tf.reduce_mean(tf.reduce_sum(weights * error(inputs[:, :N_INPUTS] - self.outputs(inputs)[0]), axis=1))


class Distillation(Loss):
    """Cross-entropy of teacher and student on "above the edge", mean over the edges of `training.teach.distil` and over
    events; both sides soft on the scale of one unit of the output. With `decorrelate` in the card, what the score
    knows of that of another model costs, too."""

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, targets, weights, *shares = batch
        edges, score = tf.constant(EDGES, tf.float32), self.outputs(inputs)[0]
        wanted = tf.sigmoid(targets[:, None] - edges)
        loss = tf.reduce_mean(weights * tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=score - edges))
        if shares:
            assert self.card.training.decorrelate is not None
            loss += self.card.training.decorrelate.weight * joint_efficiencies(score[:, 0], shares[0])
        return loss


STEP = 0.05  # width of a smooth step, over the standard deviation of the score
LOWEST = -1e6  # score of what is no background, below all


def joint_efficiencies(score: Any, share: Any) -> Any:
    """How far the joint efficiencies of two scores are from their products, a scalar: mean over both efficiencies f, g
    of `EFFICIENCIES` of (<s_f t_g> - <s_f><t_g>)^2 / (<s_f><t_g>)^`POWER`, over background events.

    score: (b,). share: (b,), the share of the background that scores as high by the other model; above 1 in events that
    are no background. s: smooth steps of the score, so that it can learn; t: sharp ones of the other.
    """
    clean = tf.cast(share <= 1, tf.float32)
    n = tf.maximum(tf.reduce_sum(clean), 1.0)
    other = tf.cast(share[:, None] <= tf.constant(EFFICIENCIES, tf.float32), tf.float32) * clean[:, None]
    fixed = tf.stop_gradient(score)
    ordered = tf.sort(tf.where(clean > 0, fixed, LOWEST), direction="DESCENDING")
    edges = tf.gather(ordered, tf.cast(n * tf.constant(EFFICIENCIES, tf.float32), tf.int32))
    mean = tf.reduce_sum(clean * fixed) / n
    width = STEP * tf.sqrt(tf.reduce_sum(clean * tf.square(fixed - mean)) / n) + 1e-6
    own = tf.sigmoid((score[:, None] - edges) / width) * clean[:, None]
    both = tf.matmul(own, other, transpose_a=True) / n
    product = tf.reduce_sum(own, axis=0)[:, None] * tf.reduce_sum(other, axis=0)[None, :] / tf.square(n)
    return tf.reduce_mean(tf.square(both - product) / (product**POWER + 1e-9))


LIMIT = 8.0  # of |log-variance|, so that an exponential of the first epochs does not overflow


class Variational(Loss):
    """Variational autoencoder (Kingma, Welling, arXiv 1312.6114) with the weight beta of arXiv 2108.03986:
    (1 - beta) x squared error of the reconstruction + beta x KL divergence, both sums, mean over events.

    The card describes the encoder. Its mirrored decoder lives in the training only, in float32, as do the log-variances
    when the score reads none of them.
    """

    def __init__(self, card: Card, model: Any) -> None:
        super().__init__(card, model)
        score, last = card.score, card.layers[-1]
        self.mean = score.mean or score.outputs
        seeds = itertools.count(card.training.seed + len(card.layers))

        def dense(units: int, name: str) -> Any:
            initial = tf_keras.initializers.GlorotUniform(seed=next(seeds))
            return tf_keras.layers.Dense(units, kernel_initializer=initial, name=name)

        latent = x = tf_keras.layers.Input((len(self.mean),), name="latent")
        for layer in reversed(card.layers[:-1]):
            x = dense(layer.units, f"decoder_{layer.name}")(x)
            x = tf_keras.layers.LeakyReLU(2.0**-layer.slope_shift if layer.slope_shift else 0.0)(x)
        inputs, outputs = [latent], [dense(N_OBJECTS, "decoder")(x)]
        self.features = model
        if not score.log_variance:
            below = model.get_layer(last.name).input
            self.features = tf_keras.Model(model.input, [model.output, below])
            inputs.append(tf_keras.layers.Input(below.shape[1:], name="features"))
            outputs.append(dense(len(self.mean), "log_variance")(inputs[1]))
        self.extra = tf_keras.Model(inputs, outputs)

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, target, weights = batch
        outputs, *below = as_list(self.features(inputs, training=True))
        mean = tf.gather(outputs, self.mean, axis=1)
        if below:
            log_variance = self.extra.get_layer("log_variance")(below[0])
        else:
            log_variance = tf.gather(outputs, self.card.score.log_variance, axis=1)
        log_variance = tf.clip_by_value(log_variance, -LIMIT, LIMIT)
        latent = mean + tf.exp(log_variance / 2) * tf.random.stateless_normal(tf.shape(mean), seed)
        decoded = as_list(self.extra([latent, *below] if below else latent))[0]
        error = tf.reduce_sum(weights * tf.square(target - decoded), axis=1)
        beta = self.card.training.beta
        return tf.reduce_mean((1 - beta) * error + beta * kl_divergence(mean, log_variance))


def kl_divergence(mean: Any, log_variance: Any) -> Any:
    """Divergence (batch,) of Gaussians (batch, pairs) from unit ones: sum of (mu^2 + sigma^2 - ln sigma^2 - 1) / 2."""
    return tf.reduce_sum(tf.square(mean) + tf.exp(log_variance) - log_variance - 1, axis=1) / 2


INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0  # weights of the three parts of VICReg, as its paper has them


class Embedding(Loss):
    """VICReg (arXiv 2105.04906) of two views of each event on the embedding, then, with the embedding at rest, the
    squared distance of the embedding and its reconstruction: two stages, the first of `embedding_epochs` epochs."""

    def __init__(self, card: Card, model: Any) -> None:
        super().__init__(card, model)
        self.first_stage = card.training.embedding_epochs
        names = [layer.name for layer in card.layers]
        cut = names.index(card.score.layer) + 1
        self.embedding, self.autoencoder = tuple(names[:cut]), tuple(names[cut:])

    def layers(self, last: bool) -> tuple[str, ...]:
        return self.autoencoder if last else self.embedding

    def __call__(self, batch: tuple[Any, ...], seed: Any, last: bool) -> Any:
        inputs, *views = batch
        if not last:
            return vicreg(*(self.outputs(view)[1] for view in views))
        reconstruction, embedding = self.outputs(inputs)
        return tf.reduce_mean(tf.reduce_sum(tf.square(reconstruction - embedding), axis=1))


def vicreg(a: Any, b: Any) -> Any:
    """Invariance, variance and covariance of two embeddings (batch, d) of the same events, arXiv 2105.04906, eq. 6.

    The mean square of the differences (per dimension, as the authors' code has it and their weights need it), how far
    standard deviations stay below 1, and the squares of the covariances per dimension.
    """
    parts = [INVARIANCE * tf.reduce_mean(tf.square(a - b))]
    for z in (a, b):
        centred = z - tf.reduce_mean(z, axis=0)
        n, d = tf.cast(tf.shape(z)[0], tf.float32), tf.cast(tf.shape(z)[1], tf.float32)
        covariance = tf.matmul(centred, centred, transpose_a=True) / (n - 1)
        diagonal = tf.linalg.diag_part(covariance)
        parts.append(VARIANCE * tf.reduce_mean(tf.nn.relu(1 - tf.sqrt(diagonal + 1e-4))))
        parts.append(COVARIANCE * (tf.reduce_sum(tf.square(covariance)) - tf.reduce_sum(tf.square(diagonal))) / d)
    return tf.add_n(parts)


LOSSES: dict[str, type[Loss]] = {
    "l1": Reconstruction,
    "mse": Reconstruction,
    "variational": Variational,
    "embedding": Embedding,
    "distil": Distillation,
}
