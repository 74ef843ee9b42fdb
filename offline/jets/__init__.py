"""Searches in the substructure of jets: events to jets, jets to scores, scores to bumps."""
