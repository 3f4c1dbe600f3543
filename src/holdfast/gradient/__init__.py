"""Gradients of attributions, exact, at 4 forward passes per point: `second_order` has the idea, the rest scales it.

* `second_order`: operators whose double backward leaves out what is exactly zero (4 F per point instead of 6).
* `points`: the points at which input gradients are taken, and their weighted sum.
* `chunks`: that sum where not even one image's graph fits: points recomputed in the backward pass (6 F).
* `grouped`: a few images at a time; memory that does not grow with the batch, still at 4 F.
* `memory`: whether a graph fits. `cpu_operators`: two operators that are faster on a CPU.
"""
