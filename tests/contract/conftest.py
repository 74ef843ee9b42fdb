"""One compiled design that the tests of agreement share: two small networks side by side, with a menu over both."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ad40.cli import main
from ad40.events import write_hw_sample
from ad40.objects import encode
from tests.conftest import random_events
from tests.small_model import write_common_menu, write_small_model

EVENTS = 4000


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loose/, tight/, menu.yaml, events.h5 (EVENTS events, the first one empty), firmware/ and compile.json, the last
    two made by the command line."""
    if any(importlib.util.find_spec(name) is None for name in ("qkeras", "hls4ml", "alkaid")):
        pytest.skip("the train and firmware extras are not installed")
    folder = tmp_path_factory.mktemp("compiled")
    models = [write_small_model(folder / name, seed, name) for name, seed in (("loose", 5), ("tight", 6))]
    write_common_menu(folder / "menu.yaml", models)
    codes = encode(random_events(EVENTS, seed=9)).codes
    codes[0] = 0
    write_hw_sample(folder / "events.h5", codes)
    command = ["compile", *map(str, models), "--menu", str(folder / "menu.yaml")]
    command += ["--output", str(folder / "firmware"), "--json", str(folder / "compile.json")]
    assert main(command) == 0
    return folder
