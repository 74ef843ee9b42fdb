"""References: anomaly models on the 57 inputs of the trigger, with no limit on what they cost."""
