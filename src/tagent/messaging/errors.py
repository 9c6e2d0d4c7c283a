"""What can go wrong with messages besides their store."""

from tagent.exceptions import TAgentError


class MessageTimeoutError(TAgentError):
    """No message came in time.

    Attributes:
        awaited: What was awaited: an address or a pattern of topics.
        seconds: How long was waited.

    Example:
        >>> from tagent.pipeline import PipelineCommunicator
        >>> with PipelineCommunicator("report", store="memory://") as communicator:
        ...     try:
        ...         communicator.receive(timeout=0)
        ...     except MessageTimeoutError as error:
        ...         print(error)
        No message came from 'pipeline:report' within 0 s.
    """

    code = "message.timeout"

    def __init__(self, awaited: str, *, seconds: float, hint: str = "") -> None:
        self.awaited = awaited
        self.seconds = seconds
        super().__init__(f"No message came from {awaited!r} within {seconds:g} s.", hint=hint)


class NoReplyWantedError(TAgentError):
    """A message is to be answered whose sender does not wait for an answer.

    Attributes:
        topic: The message's topic.
        seq: Its place there.

    Example:
        >>> from tagent.pipeline import PipelineCommunicator
        >>> with PipelineCommunicator("report", store="memory://") as communicator:
        ...     communicator.send("report", "a note, not a request")
        ...     try:
        ...         communicator.reply(communicator.receive(timeout=5), "Thanks")
        ...     except NoReplyWantedError as error:
        ...         print(error.topic, error.seq)
        pipeline:report 1
    """

    code = "message.no_reply_wanted"

    def __init__(self, topic: str, seq: int) -> None:
        self.topic = topic
        self.seq = seq
        super().__init__(
            f"Message {seq} of {topic!r} wants no reply.",
            hint="Send to its sender, or let it be sent with `request`.",
        )
