"""Wrong with replies."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference import engine, errors
from cleancut_reference.errors import no_job


@caught_by("protocol/ids", "QMP-ID-1")
def loses_ids() -> None:
    """A reply does not carry its request's id."""
    right = engine.Engine._reply

    def wrong(self: engine.Engine, result: Any) -> None:
        self._id = ()
        right(self, result)

    replace(engine.Engine, "_reply", wrong)


@caught_by("jobs/no-such-job", "JOB-NONE-1")
def knows_no_class_of_errors() -> None:
    """Every refusal has class GenericError."""

    def wrong(job_id: str) -> Any:
        return errors.generic(no_job(job_id).desc)

    replace(errors, "no_job", wrong)
