"""Lessons: opening, executing and reporting them."""
