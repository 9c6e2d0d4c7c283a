"""A living process: it resumes what was left, and starts runs on events and at times."""

from tagent.worker.status import WorkerStatus
from tagent.worker.worker import Worker

__all__ = ["Worker", "WorkerStatus"]
