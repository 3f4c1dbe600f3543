"""The paper's theorem, propositions and drawings, tested on numbers: what holds, and what a counterexample refutes."""

from holdfast.paper.theory.attribution_space import attribution_space
from holdfast.paper.theory.proposition1 import proposition1
from holdfast.paper.theory.proposition2 import proposition2
from holdfast.paper.theory.theorem1 import theorem1

__all__ = ["attribution_space", "proposition1", "proposition2", "theorem1"]
