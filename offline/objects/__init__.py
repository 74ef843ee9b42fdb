"""Objects of events for the searches: readers, cuts and streams, invariant masses."""
