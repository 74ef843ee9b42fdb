"""Searches and studies of what the trigger kept: each folder is a room of its own."""

import os

# Read by TensorFlow when it is first imported, whichever module does so; `models.build` needs it in the same process.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
