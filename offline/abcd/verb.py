"""`ad40 abcd`: two decorrelated scores, and the background of their common tail."""

HELP = "two decorrelated scores and the background of their common tail; `ad40 abcd STEP --help` explains each step"
EPILOG = "example: ad40 abcd train training/benchmark/background.h5 --output build/double"

STEPS = {
    "train": "offline.abcd.train_step",
    "close": "offline.abcd.close_step",
    "pair": "offline.abcd.pair_step",
    "estimate": "offline.abcd.estimate_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
