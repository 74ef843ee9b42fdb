"""`ad40 cluster`: what the triggered events are, which of them simulation does not explain, and a seed for them."""

HELP = "clusters of triggered events against simulation; `ad40 cluster STEP --help` explains each step"
EPILOG = "example: ad40 cluster compare kept.h5 --simulation background.h5 --output build/run/cluster"

STEPS = {
    "fit": "offline.clusters.fit_step",
    "assign": "offline.clusters.assign_step",
    "compare": "offline.clusters.compare_step",
    "calibrate": "offline.clusters.calibrate_step",
    "labels": "offline.clusters.labels_step",
    "show": "offline.seeds.show_step",
    "seed": "offline.seeds.seed_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
