"""Runs a server in an interpreter that is not the lab's: `python launch.py MODULE ARGUMENTS`.

What that environment lacks, it is lent from folders behind its own packages. Nothing of the folder that this file lies
in can be imported by its name alone.
"""

import os
import runpy
import sys

LENT = "REQUESTLAB_LENT"
"""The variable that holds these folders."""

if __name__ == "__main__":
    del sys.path[0]
    sys.path += [folder for folder in os.environ.get(LENT, "").split(os.pathsep) if folder]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
