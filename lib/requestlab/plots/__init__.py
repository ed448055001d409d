"""Figures, one module each. Each function takes runs and returns a Picture; matplotlib is used only in here."""

from requestlab.plots.arrivals import arrivals
from requestlab.plots.call_costs import call_costs
from requestlab.plots.counts import counts
from requestlab.plots.crossings import crossings
from requestlab.plots.crossover import crossover
from requestlab.plots.ecdf import ecdf
from requestlab.plots.lag import lag
from requestlab.plots.medians import medians
from requestlab.plots.processes import processes
from requestlab.plots.queries import queries
from requestlab.plots.ramp import ramp
from requestlab.plots.ratios import ratios
from requestlab.plots.sheet import Picture
from requestlab.plots.stack import stack
from requestlab.plots.streams import streams
from requestlab.plots.threads import threads
from requestlab.plots.timeline import timeline

__all__ = [
    "Picture",
    "arrivals",
    "call_costs",
    "counts",
    "crossings",
    "crossover",
    "ecdf",
    "lag",
    "medians",
    "processes",
    "queries",
    "ramp",
    "ratios",
    "stack",
    "streams",
    "threads",
    "timeline",
]
