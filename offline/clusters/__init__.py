"""What did the trigger keep? Clusters of triggered events, and how many of each the known processes explain."""
