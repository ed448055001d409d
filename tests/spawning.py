"""An application that leaves a process behind, as some do."""

import subprocess

from labapp.bare import wsgi as app  # noqa: F401

subprocess.Popen(["sleep", "300"], start_new_session=True)
