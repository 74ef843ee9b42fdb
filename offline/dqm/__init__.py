"""Data quality: every lumi section against a reference, in events as the trigger saw them."""
