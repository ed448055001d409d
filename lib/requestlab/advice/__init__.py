"""Advice on somebody else's project: what it is asked, what is in it, what was measured, and what follows."""
