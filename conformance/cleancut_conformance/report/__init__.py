"""What the suite tells of its results."""
