"""An application whose loading never ends, for a test of patience."""

import time

time.sleep(60)
