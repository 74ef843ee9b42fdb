"""What the verbs work on when the user names nothing: paths in a checkout of the project."""

from pathlib import Path

MODEL = Path("models/ad40_v1")  # the released model
SAMPLE = Path("training/sample")  # the shipped events
BACKGROUND = SAMPLE / "background.h5"
FIRMWARE = Path("build/firmware")  # what `ad40 compile` writes
