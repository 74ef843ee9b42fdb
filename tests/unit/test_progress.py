"""Progress in a log: a line at the start, lines in between at a bearable pace, one with the throughput."""

import pytest

from ad40 import progress
from ad40.progress import Progress


def test_lines_of_a_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100000, 5))  # every look at the clock is 5 s later
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with Progress(100, "work", "steps") as bar:
        for _ in range(100):
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "work: 0/100 steps (0%)"
    assert 8 <= len(lines[1:-1]) <= 12, "a line per ten percent or per minute"
    assert lines[-1].startswith("work: 100 steps in ") and lines[-1].endswith("0.18 steps/s")


def test_a_failure_is_not_reported_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), Progress(10, "work"):
        raise KeyError
    assert "events/s" not in capsys.readouterr().err
