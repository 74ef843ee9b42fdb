"""What trains a network that sees no signal: corrupted events, the teacher and what is learnt of it."""
