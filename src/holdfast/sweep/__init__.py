"""Many runs: methods x data sets x seeds, one after another, in processes, or on Ray, resumable at any moment."""

from holdfast.sweep.plan import PLANS, Plan, Run, load_plan

__all__ = ["PLANS", "Plan", "Run", "load_plan"]
