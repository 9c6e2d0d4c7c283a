"""Messages: to pipelines, to runs and on topics; each is read once by every subscriber."""

from tagent.messaging.dead_letters import DeadLetter
from tagent.messaging.delivery import Delivery
from tagent.messaging.errors import MessageTimeoutError, NoReplyWantedError
from tagent.messaging.received import ReceivedMessage
from tagent.messaging.step_messages import StepMessages

__all__ = [
    "DeadLetter",
    "Delivery",
    "MessageTimeoutError",
    "NoReplyWantedError",
    "ReceivedMessage",
    "StepMessages",
]
