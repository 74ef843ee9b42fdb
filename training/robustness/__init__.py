"""What pileup, scales, dead regions and noise do to a model; what fires."""
