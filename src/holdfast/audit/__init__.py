"""Can the explanations of a model be trusted? ``hf.audit(model, images)``; the room is called like its function."""

from holdfast.audit.compare import AuditComparison, compare_audits, load_audit
from holdfast.audit.result import AuditResult
from holdfast.audit.run import audit
from holdfast.audit.settings import AuditSettings
from holdfast.imports import callable_room

__all__ = ["AuditComparison", "AuditResult", "AuditSettings", "audit", "compare_audits", "load_audit"]

callable_room(__name__, audit)
