"""The high-level stage: a model in full precision on a processor, behind the trigger."""
