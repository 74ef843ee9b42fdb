"""What the verbs work on when the user names nothing: paths in a checkout of the project, and their arguments."""

import argparse
from pathlib import Path

MODEL = Path("models/ad40_v1")  # the released model
SAMPLE = Path("training/sample")  # the shipped events
BACKGROUND = SAMPLE / "background.h5"
FIRMWARE = Path("build/firmware")  # what `ad40 compile` writes


def add_model_folder(parser: argparse.ArgumentParser) -> None:
    """MODEL_DIR as an argument by position."""
    text = "model folder written by `ad40 train` (default %(default)s)"
    parser.add_argument("model", type=Path, nargs="?", default=MODEL, metavar="MODEL_DIR", help=text)


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """--model MODEL_DIR, for verbs whose first argument is something else."""
    text = "model folder (default %(default)s)"
    parser.add_argument("--model", type=Path, default=MODEL, metavar="MODEL_DIR", help=text)


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """--model MODEL_DIR [MODEL_DIR ...] and --menu FILE, for verbs that emulate a board."""
    text = f"model folders side by side (default {MODEL})"
    parser.add_argument("--model", type=Path, nargs="+", default=[MODEL], metavar="MODEL_DIR", help=text)
    text = "menu over the scores of these models (default: their own menus, one after the other)"
    parser.add_argument("--menu", type=Path, metavar="MENU.yaml", help=text)
