"""The chain of stages: what is reused, what is done again, what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from ad40.errors import Ad40Error, InputError
from offline.search import chain
from offline.search.analysis import SHIPPED, Analysis
from offline.search.chain import Context, Stage
from offline.search.document import read


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    (tmp_path / "data.h5").write_bytes(b"")
    return read(SHIPPED / "trigger.yaml", (tmp_path / "data.h5",))


class Log:
    """Stages that note that they ran. `numbers` decides what the first one makes."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.number = 1
        self.fail = False

    def first(self, context: Context) -> tuple[dict[str, Any], list[Path]]:
        self.done.append("first")
        path = context.path("first/number.txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(self.number))
        return {"sum": self.number}, [path]

    def second(self, context: Context) -> tuple[dict[str, Any], list[Path]]:
        self.done.append("second")
        if self.fail:
            raise InputError("somewhere", "something", 1, "2")
        return {"twice": 2 * context.results["first"]["sum"]}, []

    def third(self, context: Context) -> tuple[dict[str, Any], list[Path]]:
        self.done.append("third")
        return {"seed": context.analysis.seed}, []

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("first", (), ("hunt",), self.first),
            Stage("second", ("first",), ("seed",), self.second),
            Stage("third", (), ("fits",), self.third),
            Stage("never", ("second",), (), self.third, skip=lambda analysis: "not asked for"),
        )


def go(log: Log, analysis: Analysis, folder: Path, until: str = "never", inputs: int = 0) -> tuple[list[str], Context]:
    log.done = []
    context = Context(analysis, folder, 1, {"inputs": inputs})
    chain.run(log.stages, context, until)
    return log.done, context


def test_each_runs_once_and_the_rest_is_reused(analysis: Analysis, tmp_path: Path) -> None:
    log, folder = Log(), tmp_path / "out"
    done, context = go(log, analysis, folder)
    assert done == ["first", "second", "third"] and context.results["second"] == {"twice": 2}
    assert context.skipped == {"never": "not asked for"} and "never" not in context.results
    done, context = go(log, analysis, folder)
    assert done == [] and context.results["second"] == {"twice": 2}
    written = json.loads((folder / "first.json").read_text())
    assert written["stage"] == "first" and list(written["files"]) == ["first/number.txt"]


def test_a_change_runs_what_depends_on_it(analysis: Analysis, tmp_path: Path) -> None:
    from dataclasses import replace

    log, folder = Log(), tmp_path / "out"
    go(log, analysis, folder)
    assert go(log, replace(analysis, seed=7), folder)[0] == ["second"]
    assert go(log, replace(analysis, title="another"), folder)[0] == ["second"]  # the seed is the old one again
    # a stage that makes the same again changes nothing behind it
    (folder / "first.json").unlink()
    assert go(log, analysis, folder)[0] == ["first"]
    log.number = 3
    (folder / "first" / "number.txt").unlink()
    assert go(log, analysis, folder)[0] == ["first", "second"]


@pytest.mark.parametrize("spoil", ["changed", "gone", "no document", "other result"])
def test_what_was_spoiled_by_hand_is_made_again(analysis: Analysis, tmp_path: Path, spoil: str) -> None:
    log, folder = Log(), tmp_path / "out"
    go(log, analysis, folder)
    if spoil == "changed":
        (folder / "first" / "number.txt").write_text("2")
    elif spoil == "gone":
        (folder / "first" / "number.txt").unlink()
    elif spoil == "no document":
        (folder / "first.json").write_text("[1, 2")
    else:
        text = (folder / "first.json").read_text()
        (folder / "first.json").write_text(text.replace('"sum": 1', '"sum": 2'))
    done, context = go(log, analysis, folder)
    assert done == ["first"] and context.results["first"] == {"sum": 1}


def test_a_stage_that_fails_keeps_those_before_it(analysis: Analysis, tmp_path: Path) -> None:
    log, folder = Log(), tmp_path / "out"
    log.fail = True
    with pytest.raises(Ad40Error, match="somewhere"):
        go(log, analysis, folder)
    assert (folder / "first.json").is_file() and not (folder / "second.json").exists()
    log.fail = False
    assert go(log, analysis, folder)[0] == ["second", "third"]


def test_until(analysis: Analysis, tmp_path: Path) -> None:
    assert go(Log(), analysis, tmp_path / "out", until="second")[0] == ["first", "second"]


def test_one_search_at_a_time_in_a_folder(analysis: Analysis, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with chain._alone(folder), pytest.raises(InputError, match="one search at a time"):
        go(Log(), analysis, folder)
    assert go(Log(), analysis, folder)[0]
