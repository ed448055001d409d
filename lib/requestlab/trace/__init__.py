"""What happened inside the workers: the one reading of the rows that the probe writes."""
