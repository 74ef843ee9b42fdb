"""A trained autoencoder: a folder with the document of its training, `autoencoder.yaml`, and the weights kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ad40.errors import InputError, SpecError
from ad40.files import read_yaml, sha256_of
from ad40.schema import Node
from offline.autoencoder import networks
from offline.autoencoder.sample import chosen, numbers, sources
from offline.rmm.layout import Layout

if TYPE_CHECKING:
    from offline.table import Table

VERSION = 1
DOCUMENT = "autoencoder.yaml"
WEIGHTS = "weights.h5"
INPUTS = ("counts", "sqrt_s", "cuts", "streams", "spectra")
"""What of the training's event table is needed to make such a table of other events."""


def model_hash(network: dict[str, Any], inputs: dict[str, Any], weights: str) -> str:
    """The hash of a trained network: its shape, the matrix it reads and its weights."""
    return sha256_of([network, inputs["counts"], inputs["sqrt_s"], weights])


@dataclass(frozen=True)
class Trained:
    """A folder of `ad40 autoencoder`. document: as in the file."""

    folder: Path
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def hash(self) -> str:
        return str(self.document["hash"])

    @property
    def inputs(self) -> dict[str, Any]:
        """What the network reads: number of cells, and `INPUTS` of the event table."""
        return dict(self.document["inputs"])

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.inputs["counts"])

    @cached_property
    def scorer(self) -> networks.Scorer:
        """The network, ready to score. Raises `HashMismatch` when the weights are not those of the document."""
        model = networks.build(self.document["network"]["name"], self.layout)
        networks.load_weights(self.folder / WEIGHTS, model, self.document["weights"])
        return networks.Scorer(model)

    def trained_on(self, table: Table) -> NDArray[np.bool_]:
        """The events of a table that the network was trained on: bool (n,).

        A table that shares no file with the one of the training has none. In one that does, whatever its selection
        and order, they are those that the training would choose from it.
        """
        mine = self.document["sample"]
        if not sources(table.attributes) & {source["sha256"] for source in mine["sources"]}:
            return np.zeros(table.n, np.bool_)
        settings = self.document["settings"]
        return chosen(numbers(table, settings["seed"]), settings["fraction"])

    def check(self, table: Table) -> list[str]:
        """Refuse a table of other matrices (`InputError`); return what else differs from the training, in words."""
        if table.layout.counts != self.layout.counts:
            raise InputError(table.path, "counts", dict(table.layout.counts), f"{self.layout.counts}, as in training")
        differing = []
        for name in ("sqrt_s", "cuts", "streams"):
            here, there = table.attributes[name], self.inputs[name]
            if here != there:
                differing.append(f"{name} of the table {here}, of the training {there}")
        return differing


def read(folder: str | Path) -> Trained:
    """A trained autoencoder. Raises `SpecError` on a document that is malformed or was changed by hand."""
    folder = Path(folder)
    path = folder / DOCUMENT
    if not path.is_file():
        raise InputError(folder, DOCUMENT, "missing", "a folder written by `ad40 autoencoder`")
    node = Node(read_yaml(path), path)
    node.keys({"version", "name", "hash", "network", "inputs", "settings", "sample", "initialisations", "kept",
               "weights", "software"})  # fmt: skip
    node["version"].integer(VERSION, VERSION)
    node["name"].text()
    document = dict(node.value)
    node["inputs"].keys({"cells", *INPUTS})
    networks.network(Node(document["network"], path, "network")["name"].text())
    if model_hash(document["network"], document["inputs"], node["weights"].text()) != node["hash"].text():
        raise SpecError(path, "hash", node["hash"].text()[:12], "the hash of network, inputs and weights")
    return Trained(folder, document)
