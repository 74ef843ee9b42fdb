"""`ad40 jets`: jets of events, anomaly models on them, and the searches that use their scores."""

HELP = "searches in the substructure of jets; `ad40 jets STEP --help` explains each step"
EPILOG = "example: ad40 jets train egat build/jets.h5 --output build/egat"

STEPS = {
    "cluster": "offline.jets.cluster_step",
    "events": "offline.jets.events_step",
    "train": "offline.jets.train_step",
    "score": "offline.jets.score_step",
    "compare": "offline.jets.compare_step",
    "cwola": "offline.jets.cwola_step",
    "yxh": "offline.jets.yxh_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
