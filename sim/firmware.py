"""A compiled design on disk, as the benches need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ad40 import spec
from ad40.errors import HashMismatch, InputError
from ad40.files import file_hash, read_json
from ad40.menu import read_menu
from ad40.model import Trigger
from ad40.network import read_network
from ad40.schema import Node
from ad40.spec import LatencySpec

MANIFEST = "firmware.json"


@dataclass(frozen=True, eq=False)
class Firmware:
    """A compiled design: its manifest, its sources in order of compilation, the networks and menu it holds, and the
    configuration of clock and budget. Another `trigger` than the compiled one is what a stale file would be."""

    folder: Path
    manifest: dict[str, Any]
    sources: tuple[Path, ...]
    trigger: Trigger
    timing: LatencySpec
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def latency(self) -> int:
        """Clocks from the last input word to the decision that the design promises."""
        return int(self.constants["latency"])

    @property
    def period_ps(self) -> int:
        """Clock period, even, so that half of it is whole."""
        return 2 * round(self.timing.cycle_ns * 500)

    @property
    def lane_names(self) -> list[str]:
        return [lane.name for lane in spec.links().lanes]


def read_firmware(folder: Path) -> Firmware:
    """Read what `ad40 compile` left. Refuses a folder that is incomplete, was changed since, or was made with other
    scales, lanes or another latency.yaml."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(folder, MANIFEST, "missing", "a folder that `ad40 compile` finished")
    node = Node(read_json(path), path)
    networks = tuple(read_network(folder / model["network"].text()) for model in node["models"])
    trigger = Trigger(networks, read_menu(folder / node["menu"].text(), networks))
    timing = spec.latency(node["latency"].text())
    timing = timing.within(node["budget_ns"].number(1, timing.budget_ns)) if "budget_ns" in node else timing
    for name, found, here in (
        ("menu_hash", node["menu_hash"].text(), trigger.menu.hash),
        ("spec_hash", node["spec_hash"].text(), spec.objects().hash),
        ("links_hash", node["links_hash"].text(), spec.links().hash),
        ("latency_hash", node["latency_hash"].text(), timing.hash),
        *(
            (f"models[{i}].network_hash", model["network_hash"].text(), network.hash)
            for i, (model, network) in enumerate(zip(node["models"], networks, strict=True))
        ),
    ):
        if found != here:
            raise HashMismatch(path, name, found, f"{here}; run `ad40 compile` again")
    sources = []
    for name, wanted in node["sources"].items():
        source = folder / name
        if not source.exists() or file_hash(source) != wanted.text():
            raise HashMismatch(source, "content", "changed or missing", "that of firmware.json; compile again")
        sources.append(source)
    return Firmware(folder, dict(node.value), tuple(sources), trigger, timing, dict(node["constants"].value))
