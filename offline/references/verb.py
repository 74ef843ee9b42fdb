"""`ad40 reference`: anomaly models on the 57 inputs without the limits of an FPGA, beside those of the trigger."""

HELP = "anomaly models on the 57 inputs, free of what an FPGA holds; `ad40 reference STEP --help` explains each step"
EPILOG = "example: ad40 reference train flow training/sample/background.h5 --output build/flow"

STEPS = {
    "train": "offline.references.train_step",
    "score": "offline.references.score_step",
    "compare": "offline.references.compare_step",
    "export": "offline.references.export_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
