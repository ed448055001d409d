"""Measurements: one slice of load on one server, its record, and whether to believe it."""
