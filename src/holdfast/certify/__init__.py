"""Guarantees: similarities of explanations that no perturbation inside a ball can undercut."""

from holdfast.certify.base import Certificate, Certified
from holdfast.certify.votes import VotedMap

__all__ = ["Certificate", "Certified", "VotedMap"]
