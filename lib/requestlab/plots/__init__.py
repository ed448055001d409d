"""Figures, one module each. Each function takes runs and returns a Picture; matplotlib is used only in here."""

from requestlab.plots.call_costs import call_costs
from requestlab.plots.crossings import crossings
from requestlab.plots.crossover import crossover
from requestlab.plots.ecdf import ecdf
from requestlab.plots.lag import lag
from requestlab.plots.processes import processes
from requestlab.plots.ramp import ramp
from requestlab.plots.ratios import ratios
from requestlab.plots.sheet import Picture
from requestlab.plots.stack import stack
from requestlab.plots.streams import streams
from requestlab.plots.threads import threads
from requestlab.plots.timeline import timeline

__all__ = [
    "Picture",
    "call_costs",
    "crossings",
    "crossover",
    "ecdf",
    "lag",
    "processes",
    "ramp",
    "ratios",
    "stack",
    "streams",
    "threads",
    "timeline",
]
