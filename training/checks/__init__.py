"""What is known of events elsewhere, held against the generated ones."""
