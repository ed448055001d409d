"""One load process for tests: a plan in, an outcome out."""

from requestlab.load.plan import Plan
from requestlab.load.pool import Job, LoadProcessPool, Outcome, run_jobs


def run_plan(plan: Plan) -> Outcome:
    with LoadProcessPool() as pool:
        (outcome,) = run_jobs([Job(plan)], (), lambda: None, pool)
    return outcome
