"""`ad40 dqm`: data quality, lumi section by lumi section."""

HELP = "data quality of triggered events, lumi section by lumi section; `ad40 dqm STEP --help` explains each step"
EPILOG = """\
example: ad40 dqm reference good.h5 --per-lumi 1425 --output build/dqm
         ad40 dqm watch kept.h5 --reference build/dqm --per-lumi 1425 --output build/run/dqm"""

STEPS = {
    "reference": "offline.dqm.reference_step",
    "watch": "offline.dqm.watch_step",
    "inject": "offline.dqm.inject_step",
    "calibrate": "offline.dqm.calibrate_step",
}
"""Each module has HELP, EPILOG, add_arguments(parser) and run(args), as those of a verb (`ad40.cli`)."""
