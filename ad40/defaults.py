"""What the verbs work on when the user names nothing, and the arguments that name it."""

import argparse
from pathlib import Path

from ad40 import released

NAME = "ad40_v1"  # of the released model
MODEL = released.FOLDER / NAME
SAMPLE = Path("training/sample")  # the shipped events, in a checkout of the project
BACKGROUND = SAMPLE / "background.h5"
FIRMWARE = Path("build/firmware")  # what `ad40 compile` writes
_MENU = "menu over the scores of these models (default: their own menus, one after the other)"


def add_model_folder(parser: argparse.ArgumentParser) -> None:
    """MODEL as an argument by position."""
    text = f"model folder or name of a released model (default {NAME})"
    parser.add_argument("model", type=released.folder, nargs="?", default=MODEL, metavar="MODEL", help=text)


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """--model MODEL, for verbs whose first argument is something else."""
    text = f"model folder or name of a released model (default {NAME})"
    parser.add_argument("--model", type=released.folder, default=MODEL, metavar="MODEL", help=text)


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """--model MODEL [MODEL ...] and --menu FILE, for verbs that emulate a board."""
    text = f"model folders or names of released models, side by side (default {NAME})"
    parser.add_argument("--model", type=released.folder, nargs="+", default=[MODEL], metavar="MODEL", help=text)
    parser.add_argument("--menu", type=Path, metavar="MENU.yaml", help=_MENU)


def add_models(parser: argparse.ArgumentParser) -> None:
    """MODEL ... by position, and --menu, for verbs that compile a design."""
    text = f"model folders or names of released models, side by side in one design (default {NAME})"
    parser.add_argument("models", type=released.folder, nargs="*", default=[MODEL], metavar="MODEL", help=text)
    parser.add_argument("--menu", type=Path, metavar="MENU.yaml", help=_MENU)


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """--firmware and --sample, for verbs that run what was compiled on events."""
    text = "its firmware, compiled now if the folder does not exist (default %(default)s)"
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, metavar="FW_DIR", help=text)
    text = "event file (default %(default)s)"
    parser.add_argument("--sample", type=Path, default=BACKGROUND, metavar="FILE", help=text)
