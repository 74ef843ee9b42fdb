"""Edge-featured graph attention on batches of graphs of any size, without padding.

A batch is one list of N nodes and one list of E directed edges; a graph is a range of nodes. Sums over what belongs to
a node or a graph are sums over segments of these lists.

The layer, for each head, with node features h_i, edge features e_ij of the edge from j to i, and matrices W:

    e'_ij = LeakyReLU(W_i h_i + W_e e_ij + W_j h_j)                 edges learn from their two ends
    alpha_ij = softmax over the neighbours j of i of (a . e'_ij)
    h'_i = LeakyReLU(W_0 h_i + sum_j alpha_ij (W_n h_j + e'_ij))    nodes learn from neighbours and edges

The update of edges and the attention by them are those of edge-featured attention (EGAT, arXiv 2101.07671; the graph
library DGL has it as EGATConv). Ours: the term W_0, so that a node without neighbours keeps what it knows, and e' in
the sum. There is no bias, and no activation is bounded: a network of such layers can be trained with Deep SVDD. All
terms are homogeneous, of degree one, in (h, e) but for the attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offline.autoencoder.networks import keras

SLOPE = 0.2  # of LeakyReLU below zero


class EdgeAttention:
    """One layer. nodes, edges: features per node and per edge that enter. heads x width of both leave.

    weights: `node` (nodes, heads * width) W_n, `keep` W_0, `to` W_i, `source` W_j of the same shape, `edge`
    (edges, heads * width) W_e, `attention` (heads, width) a.
    """

    def __init__(self, nodes: int, edges: int, heads: int, width: int, seeds: Iterator[int]) -> None:
        k = keras()
        self.heads, self.width = heads, width
        shapes = {
            "node": (nodes, heads * width), "keep": (nodes, heads * width), "to": (nodes, heads * width),
            "source": (nodes, heads * width), "edge": (edges, heads * width), "attention": (heads, width),
        }  # fmt: skip
        self.named = {
            name: k.Variable(k.initializers.GlorotUniform(next(seeds))(shape), name=name)
            for name, shape in shapes.items()
        }
        self.weights = list(self.named.values())
        self.trainable_variables = self.weights

    def __call__(self, h: Any, e: Any, source: Any, to: Any) -> tuple[Any, Any]:
        """h (N, nodes), e (E, edges), source and to int32 (E,), `to` never falling -> h', e' (.., heads * width)."""
        import tensorflow as tf

        w, heads = self.named, self.heads
        nodes = tf.shape(h)[0]
        # multiplied per node, then gathered: there are ten times more edges than nodes
        edge = tf.gather(tf.matmul(h, w["to"].value), to) + tf.gather(tf.matmul(h, w["source"].value), source)
        edge = tf.nn.leaky_relu(edge + tf.matmul(e, w["edge"].value), SLOPE)  # (E, heads * width)
        by_head = tf.reshape(edge, [-1, heads, self.width])
        alpha = segment_softmax(tf.reduce_sum(by_head * w["attention"].value, axis=-1), to, nodes)  # (E, heads)
        message = tf.reshape(tf.gather(tf.matmul(h, w["node"].value), source), [-1, heads, self.width]) + by_head
        message = tf.reshape(alpha[..., None] * message, [-1, heads * self.width])
        total = tf.math.unsorted_segment_sum(message, to, nodes)
        return tf.nn.leaky_relu(tf.matmul(h, w["keep"].value) + total, SLOPE), edge


def segment_softmax(x: Any, segment: Any, n: Any) -> Any:
    """Softmax of x (E, k) over the rows of each of n segments. A segment without rows has no answer, and needs none."""
    import tensorflow as tf

    largest = tf.stop_gradient(tf.math.unsorted_segment_max(x, segment, n))  # changes nothing but the overflow
    weight = tf.exp(x - tf.gather(largest, segment))
    return weight / tf.gather(tf.math.unsorted_segment_sum(weight, segment, n), segment)


def segment_mean(x: Any, segment: Any, n: Any) -> Any:
    """Mean (n, k) of x (N, k) over the rows of each segment."""
    import tensorflow as tf

    return tf.math.unsorted_segment_mean(x, segment, n)
