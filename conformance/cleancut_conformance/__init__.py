"""Does an implementation keep the promise? Cases, targets, the judge and the reports."""
