"""uWSGI out of the package pyuwsgi, in this interpreter: `python -m requestlab.worker.uwsgi_server OPTIONS
APPLICATION`."""

from __future__ import annotations

import sys

import pyuwsgi

if __name__ == "__main__":
    pyuwsgi.run(sys.argv[1:])
