"""The layout of the LHC Olympics 2020 files (arXiv 2101.08320), in which `ad40 generate lhco` writes, too.

Events: a data frame `df` (`ad40.dataframe`) of float64 with one row per event, `SLOTS` particles of pt [GeV], eta, phi
[rad] in falling pt, filled up with zeros; columns are numbered from 0. The R&D set has one more column, the label: 1
signal, 0 background; black boxes have none. Features: one row per event, `FEATURES` of two jets ("pxj1", ...) and
"label".
"""

from __future__ import annotations

SLOTS = 700
COLUMNS = 3 * SLOTS
FEATURES = ("px", "py", "pz", "m", "tau1", "tau2", "tau3")
"""Of a jet, momenta and mass in GeV; the name of the jet, j1 or j2, follows."""
LABEL = "label"
STAND_IN = "ad40_lhco"
"""Attribute of files that this project made: a JSON document of how. Files without it are from elsewhere."""
