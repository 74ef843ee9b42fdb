"""Collision events: Pythia, a detector, pileup, truth, and the files they become."""
