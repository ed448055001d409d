"""Figures, one module each. Each function takes runs and returns a Picture; matplotlib is used only in here."""

from requestlab.plots.crossings import crossings
from requestlab.plots.crossover import crossover
from requestlab.plots.ecdf import ecdf
from requestlab.plots.lag import lag
from requestlab.plots.picture import Picture
from requestlab.plots.prices import prices
from requestlab.plots.ramp import ramp
from requestlab.plots.ratios import ratios
from requestlab.plots.stack import stack
from requestlab.plots.streams import streams
from requestlab.plots.threads import threads
from requestlab.plots.timeline import timeline

__all__ = [
    "Picture",
    "crossings",
    "crossover",
    "ecdf",
    "lag",
    "prices",
    "ramp",
    "ratios",
    "stack",
    "streams",
    "threads",
    "timeline",
]
