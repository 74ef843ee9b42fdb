"""The rapidity-mass matrix (RMM): names of its cells, the matrices of events, pictures."""
