"""What everything stands on: the machine, its clocks, child processes, checks, files and words."""
