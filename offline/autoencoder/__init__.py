"""The autoencoder of the RMM search: networks, training, scores of events, their stability."""
