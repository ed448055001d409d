"""Comparisons: several contenders in rounds, their ratios with intervals, and how these are put into words."""
