"""Background of a corner of two independent scores from the other three: the double autoencoder and its closure."""
