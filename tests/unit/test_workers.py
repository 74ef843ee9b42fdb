"""Many files on workers: the same answer whatever the workers do, and a report of the files that have none."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ad40 import record, workers
from ad40.cli import main
from ad40.errors import InputError, MissingTool
from ad40.events import write_hw_sample
from ad40.model import read_trigger
from ad40.trigger import trigger
from tests.l1_files import write

distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra cluster)")


@pytest.fixture
def files(codes: np.ndarray, tmp_path: Path) -> list[Path]:
    """Files of two folders with equal names, of different lengths."""
    paths = [tmp_path / "data" / name for name in ("a/1.h5", "a/2.h5", "b/1.h5", "b/2.h5", "b/3.h5")]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_hw_sample(path, codes[i * 500 : (i + 1) * 500 + 97 * i], {"id": np.arange(500 + 97 * i)})
    return paths


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, as a cluster elsewhere would have one."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running:
        yield running.scheduler_address


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run(verb: str, files: list[Path], model_dir: Path, output: Path, *more: str) -> dict[str, bytes]:
    assert main([verb, *map(str, files), "--model", str(model_dir), "--output", str(output), *more]) == 0
    return tree(output)


def test_workers_and_order_change_no_bit(files: list[Path], model_dir: Path, tmp_path: Path, scheduler: str) -> None:
    for verb in ("trigger", "emulate", "rates"):
        first = run(verb, files, model_dir, tmp_path / verb, "--cluster", "none")
        assert len(first) == {"trigger": 6, "emulate": 5, "rates": 2}[verb]
        again = run(verb, files[::-1], model_dir, tmp_path / f"{verb}2", "--cluster", scheduler)
        mixed = [files[i] for i in (2, 0, 4, 1, 3)]
        third = run(
            verb,
            mixed,
            model_dir,
            tmp_path / f"{verb}3",
            *(["--workers", "3"] if verb == "trigger" else ["--cluster", scheduler]),
        )
        assert first == again == third


def test_each_file_is_a_run_of_its_own(files: list[Path], model_dir: Path, tmp_path: Path) -> None:
    board = read_trigger([model_dir])
    summary = tmp_path / "trigger.json"
    run("trigger", files, model_dir, tmp_path / "many", "--cluster", "none", "--run", "7", "--json", str(summary))
    merged = record.read(tmp_path / "many" / "kept.h5", board)
    parts = []
    for i, file in enumerate(files):
        trigger(file, board, tmp_path / f"{i}.h5", run_number=7 + i)
        assert (tmp_path / f"{i}.h5").read_bytes() == (tmp_path / "many" / file.parent.name / file.name).read_bytes()
        parts.append(record.read(tmp_path / f"{i}.h5", board))
    assert np.array_equal(merged.codes, np.concatenate([part.codes for part in parts]))
    for name, column in merged.columns.items():
        assert np.array_equal(column, np.concatenate([part.columns[name] for part in parts])), name
    assert np.unique(merged.columns["run"]).tolist() == [7, 8, 9, 10, 11] and "id" in merged.columns
    total = json.loads(summary.read_text())
    for name in ("events_seen", "events_kept"):
        assert total[name] == merged.attributes[name] == sum(part.attributes[name] for part in parts)
    for i, seed in enumerate(total["seeds"]):
        assert 0 < seed["after"] == sum(part.attributes["seeds"][i]["after"] for part in parts)
    assert [entry["file"] for entry in total["source"]["files"]] == [file.name for file in files]


def dies_once(file: Path, output: Path, *, board: Any, marker: Path, victim: str) -> dict[str, Any]:
    """The trigger; the first worker that works on the victim is killed in the middle of writing."""
    if file.name == victim and not marker.exists():
        append = record.Writer.append

        def then_die(self: record.Writer, *arguments: Any) -> None:
            append(self, *arguments)
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

        record.Writer.append = then_die  # type: ignore[method-assign]
    return trigger(file, board, output, threads=1)


def test_a_killed_worker_changes_nothing(files: list[Path], model_dir: Path, tmp_path: Path) -> None:
    board = read_trigger([model_dir])

    def jobs(folder: Path, marker: Path) -> list[workers.Job]:
        options = {"board": board, "marker": marker, "victim": "3.h5"}
        return [workers.Job(dies_once, file, workers.output_of(file, folder), options) for file in files]

    marker = tmp_path / "killed"
    done, failures = workers.run_all(jobs(tmp_path / "one", marker), "local", workers=2)
    assert int(marker.read_text()) != os.getpid() and failures == []  # a worker process did die
    undisturbed, _ = workers.run_all(jobs(tmp_path / "two", marker), "none")
    assert done == undisturbed and len(done) == len(files)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")  # no half-written file either


def always_dies(file: Path, output: Path) -> None:
    if file.name == "1.h5":
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    jobs = [workers.Job(always_dies, tmp_path / name, None, {}) for name in ("1.h5", "2.h5")]
    done, failures = workers.run_all(jobs, "local", workers=1, retries=0)
    assert [file.name for file, _ in done] == ["2.h5"]
    assert [failure.file.name for failure in failures] == ["1.h5"] and "KilledWorker" in failures[0].reason


@pytest.mark.parametrize("where", ["none", "scheduler"])
def test_failures_are_reported_and_the_rest_is_kept(
    files: list[Path], model_dir: Path, tmp_path: Path, scheduler: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files[1].write_bytes(files[1].read_bytes()[:5000])
    missing = tmp_path / "data" / "b" / "0.h5"
    address = scheduler if where == "scheduler" else where
    summary, output = tmp_path / "t.json", tmp_path / "out"
    output.mkdir()
    (output / "kept.h5").write_text("of an earlier run")
    command = ["trigger", *map(str, [*files, missing]), "--model", str(model_dir), "--cluster", address]
    assert main([*command, "--output", str(output), "--json", str(summary)]) == 1
    err = capsys.readouterr().err
    assert "2 files failed; what is finished is kept:" in err
    assert f"{files[1]}: format is" in err and f"{missing}: file is missing" in err
    document = json.loads(summary.read_text())
    assert [entry["file"] for entry in document["failed"]] == [str(files[1]), str(missing)]
    kept = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert kept == ["a/1.h5", "b/1.h5", "b/2.h5", "b/3.h5"]
    assert (
        main(["rates", *map(str, files), "--model", str(model_dir), "--output", str(output), "--cluster", address]) == 1
    )
    rates = json.loads((output / "rates.json").read_text())
    assert rates["failed"] == [str(files[1])] and [one["events"] for one in rates["samples"]] != []


def flaky(file: Path, output: Path | None, *, log: Path) -> int:
    """Fails twice as a file system does, once as a file does."""
    with log.open("a") as lines:
        lines.write(f"{file}\n")
    tries = log.read_text().count(str(file))
    if file.name == "bad":
        raise InputError(file, "codes", "wrong", "right")
    if tries <= 2:
        raise InputError(file, "rows", "unreadable", "a file") from OSError("stale handle")
    return tries


def test_only_faults_of_the_machine_are_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = [workers.Job(flaky, Path(name), None, {"log": log}) for name in ("bad", "good")]
    done, failures = workers.run_all(jobs, "none", retries=2)
    assert done == [(Path("good"), 3)] and failures == [
        workers.Failure(Path("bad"), "bad: codes is wrong; expected right")
    ]
    assert log.read_text().split() == ["bad", "good", "good", "good"]


def test_bad_use(files: list[Path], model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="files of different folders or names"):
        workers.ordered([files[0], files[1], files[0]])
    monkeypatch.setattr(workers, "CONNECT", "1s")
    with pytest.raises(InputError, match="a scheduler that answers"):
        workers.run_all([workers.Job(flaky, files[0], None, {})], "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    jobs = [workers.Job(flaky, file, None, {}) for file in files]
    with pytest.raises(MissingTool, match=r"ad40\[cluster\].*--cluster none"):
        workers.run_all(jobs, None)


def test_workers_of_another_version_are_refused(tmp_path: Path) -> None:
    failure = workers.guarded(workers.Job(flaky, Path("good"), None, {"log": tmp_path / "log"}), 0, "9.9")
    assert isinstance(failure, workers.Failure) and "this is 9.9" in failure.reason


def test_parquet_on_workers(codes: np.ndarray, model_dir: Path, tmp_path: Path, scheduler: str) -> None:
    paths = [tmp_path / "ZB" / f"train-{i}.parquet" for i in range(3)]
    for i, path in enumerate(paths):
        write(path, codes[i * 300 : (i + 1) * 300], np.random.default_rng(i), order=None)
    one = run("rates", paths, model_dir, tmp_path / "one", "--cluster", "none")
    assert one == run("rates", paths[::-1], model_dir, tmp_path / "two", "--cluster", scheduler)
