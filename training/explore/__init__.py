"""The models around a card: what may change, trials, and the Pareto front."""
