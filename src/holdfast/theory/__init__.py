"""The paper's theorem, propositions and drawings, tested on numbers: what holds, and what a counterexample refutes."""

from holdfast.theory.attribution_space import attribution_space
from holdfast.theory.claim import Claim, Verdict, closeness_verdict, exact_verdict, sign_verdict
from holdfast.theory.proposition1 import proposition1
from holdfast.theory.proposition2 import proposition2
from holdfast.theory.theorem1 import theorem1

__all__ = [
    "Claim",
    "Verdict",
    "attribution_space",
    "closeness_verdict",
    "exact_verdict",
    "proposition1",
    "proposition2",
    "sign_verdict",
    "theorem1",
]
