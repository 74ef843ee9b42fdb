"""Speed of work on files: `ad40 trigger` end to end, and the gain of a second worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import h5py

from ad40 import hdf5, workers
from ad40.errors import CheckError, InputError, MissingTool
from ad40.model import Trigger
from ad40.trigger import trigger

_PEAK = """\
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)"""


def repeat_sample(sample: Path, target: Path, n: int) -> int:
    """Write the events of an event file over and over, n or a little more: its compressed chunks as they are, so that
    reading them costs what reading that many events costs. Returns their number."""
    with hdf5.open_file(sample) as source:
        name = "codes" if "codes" in source else "Particles"
        data = source[name]
        rows, whole = (data.chunks[0], len(data) // data.chunks[0]) if data.chunks else (0, 0)
        if not whole or data.chunks[1:] != data.shape[1:]:
            raise InputError(sample, f"{name}.chunks", data.chunks, "at least one whole chunk of complete events")
        count = -(-n // rows)
        with hdf5.create(target) as file:
            plist = data.id.get_create_plist()
            space = h5py.h5s.create_simple((count * rows, *data.shape[1:]))
            copy = h5py.h5d.create(file.id, name.encode(), data.id.get_type(), space, plist)
            for i in range(count):
                mask, chunk = data.id.read_direct_chunk((i % whole * rows, 0, 0))
                copy.write_direct_chunk((i * rows, 0, 0), chunk, mask)
            if "spec_hash" in source.attrs:
                file.attrs["spec_hash"] = source.attrs["spec_hash"]
    return int(count * rows)


def end_to_end(model: Path, sample: Path, n: int, repeats: int = 3) -> dict[str, Any]:
    """Median events/s, and peak memory in bytes, of `ad40 trigger` on at least n events: child processes."""
    with tempfile.TemporaryDirectory() as scratch:
        events, summary = Path(scratch) / "events.h5", Path(scratch) / "trigger.json"
        n = repeat_sample(sample, events, n)
        command = [sys.executable, "-m", "ad40", "trigger", str(events), "--model", str(model)]
        command += ["--output", str(Path(scratch) / "kept.h5"), "--json", str(summary)]
        seconds, peak = [], 0
        for _ in range(repeats):
            # A process starts with the peak memory of the one that forked it, so a small one stands between
            done = subprocess.run([sys.executable, "-c", _PEAK, *command], capture_output=True, text=True, check=False)
            if done.returncode:
                raise CheckError(f"`ad40 trigger` failed: {done.stderr.strip().splitlines()[-1:]}")
            seconds.append(json.loads(summary.read_text())["seconds"])
            peak = max(peak, 1024 * int(done.stdout.split()[-1]))
    return {"events": n, "events_per_s": n / median(seconds), "peak_bytes": peak}


def _on_one_core(file: Path, output: Path, board: Trigger) -> int:
    trigger(file, board, output, threads=1)
    return os.getpid()


def scaling(board: Trigger, sample: Path, n: int, counts: Sequence[int] = (1, 2)) -> dict[int, float]:
    """Median events/s of `ad40 trigger` on eight files of n events each, by the number of workers of a cluster that
    runs already."""
    try:
        import distributed
    except ImportError as error:
        raise MissingTool("the package 'distributed'", "`pip install 'ad40[cluster]'`") from error
    result: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / f"{i}.h5" for i in range(8)]
        n = repeat_sample(sample, files[0], n)
        for file in files[1:]:
            shutil.copyfile(files[0], file)
        jobs = [workers.Job(_on_one_core, file, workers.output_of(file, Path(scratch) / "out"), {"board": board})
                for file in files]  # fmt: skip
        for count in counts:
            with distributed.LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=count, threads_per_worker=1, dashboard_address=":0", local_directory=scratch,
            ) as running:  # fmt: skip
                taken = []
                for turn in range(4):  # the first starts the workers' imports
                    start = time.perf_counter()
                    done, failures = workers.run_all(jobs, running.scheduler_address)
                    taken.append(time.perf_counter() - start)
                    if failures or (turn and len({pid for _, pid in done}) != count):
                        raise CheckError(f"the bench of {count} workers failed: {failures}")
                result[count] = len(files) * n / median(taken[1:])
    return result
