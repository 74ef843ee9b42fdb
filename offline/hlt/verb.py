"""`ad40 hlt`: the high-level stage behind the trigger."""

HELP = "a model in full precision behind the trigger; `ad40 hlt STEP --help` explains each step"
EPILOG = "example: ad40 hlt run build/stage build/kept.h5 --output build/hlt_kept.h5"

STEPS = {
    "menu": "offline.hlt.menu_step",
    "run": "offline.hlt.run_step",
    "evaluate": "offline.hlt.evaluate_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
