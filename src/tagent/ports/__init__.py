"""Every way out of the process, as protocols and plain values. No port knows an adapter."""

from tagent.ports.clock import Clock
from tagent.ports.embedder import Embedder, EmbedderError
from tagent.ports.event_sink import EventSink
from tagent.ports.language_model import (
    AnswerStreamed,
    LanguageModel,
    Message,
    ModelProvider,
    ModelReply,
    ModelRequest,
    ModelRetried,
    ModelSwitched,
    TokenUsage,
)
from tagent.ports.model_errors import (
    ModelAuthenticationError,
    ModelChainError,
    ModelCircuitOpenError,
    ModelError,
    ModelLimitsUnavailableError,
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
    "ModelCircuitOpenError",
    "ModelChainError",
    "ModelLimitsUnavailableError",
    "ModelReply",
    "ModelRequest",
    "ModelRetried",
    "ModelSwitched",
    "AnswerStreamed",
    "Embedder",
    "EmbedderError",
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
