"""What is promised: the clauses, the QMP schema, the job-status table and the trace format."""

from cleancut_spec.clauses import Clause, ClauseError, citations, cites, clause, clauses

__all__ = ["Clause", "ClauseError", "citations", "cites", "clause", "clauses"]
