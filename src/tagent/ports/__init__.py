"""Every way out of the process, as protocols and plain values. No port knows an adapter."""

from tagent.ports.clock import Clock
from tagent.ports.event_sink import EventSink
from tagent.ports.language_model import (
    LanguageModel,
    Message,
    ModelProvider,
    ModelReply,
    ModelRequest,
    TokenUsage,
)
from tagent.ports.model_errors import (
    ModelAuthenticationError,
    ModelError,
    ModelNotChosenError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRejectedError,
    ModelTimeoutError,
    ModelUnavailableError,
    UnknownModelError,
)
from tagent.ports.process import ProcessTable
from tagent.ports.records import Batch, Blob, NewRun, Record, RunQuery, RunRecord, RunSummary
from tagent.ports.services import Services
from tagent.ports.store import Store

__all__ = [
    "Batch",
    "Blob",
    "Clock",
    "EventSink",
    "LanguageModel",
    "Message",
    "ModelProvider",
    "ModelError",
    "ModelNotChosenError",
    "UnknownModelError",
    "ModelAuthenticationError",
    "ModelRateLimitError",
    "ModelUnavailableError",
    "ModelTimeoutError",
    "ModelRejectedError",
    "ModelOutputError",
    "ModelReply",
    "ModelRequest",
    "Record",
    "NewRun",
    "ProcessTable",
    "RunQuery",
    "RunRecord",
    "RunSummary",
    "Services",
    "Store",
    "TokenUsage",
]
