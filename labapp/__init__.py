"""The Django project that the lab measures; it knows nothing of the lab."""
