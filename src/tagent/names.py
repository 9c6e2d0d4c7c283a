"""What memory and mail are called in a store: whose they are, so that no name can mean two things.

People write addresses, `pipeline:report` or `space:prices`. A store knows scopes, topics and subscribers, whose
names have slashes. Of a run all of them begin with `run/<its id>/`, so that it can be forgotten with the run.
"""

import re
from functools import lru_cache

from tagent.exceptions import ConfigurationError, nearest

LONGEST_NAME = 200
"""Characters of a name."""

APPROVALS = "approvals"
"""The scope of the questions that runs ask people."""

_WORD = r"[\w-]+"
_TOPIC = re.compile(rf"{_WORD}(\.{_WORD})*")
_PATTERN = re.compile(rf"({_WORD}|\*|#)(\.({_WORD}|\*|#))*")
_TOPICS = "topic/"
_MAIL_KINDS = ("pipeline", "run", "topic")
_MEMORY_KINDS = ("pipeline", "run", "step", "space", "shared", "results", "steps")


class InvalidNameError(ConfigurationError):
    """A name or an address cannot be used.

    Attributes:
        name: What was written.
    """

    code = "name.invalid"

    def __init__(self, name: object, problem: str, *, hint: str = "") -> None:
        self.name = name
        super().__init__(f"{str(name)[:LONGEST_NAME]!r} {problem}", hint=hint)


def checked_name(name: object) -> str:
    """Return `name` if it can name a pipeline, a step, a space, a subscriber or a document.

    Raises:
        InvalidNameError: If it is not text, is empty or too long, or holds what cannot be seen.

    Example:
        >>> checked_name("daily report")
        'daily report'
    """
    if not isinstance(name, str):
        raise InvalidNameError(name, f"is no name: it is {type(name).__name__}, not text.")
    if not name or len(name) > LONGEST_NAME:
        raise InvalidNameError(name, f"is no name: it must have 1 to {LONGEST_NAME} characters.")
    if not name.isprintable() or name != name.strip():
        raise InvalidNameError(name, "is no name: it holds characters that cannot be seen, or begins or ends with one.")
    return name


def checked_topic(topic: object) -> str:
    """Return `topic` if it can name a topic: words with dots between them.

    Raises:
        InvalidNameError: If it is none.

    Example:
        >>> checked_topic("orders.created")
        'orders.created'
    """
    if not _TOPIC.fullmatch(checked_name(topic)):
        raise InvalidNameError(topic, "is no topic.", hint="Write words with dots between them, like orders.created.")
    return str(topic)


def checked_pattern(pattern: object) -> str:
    """Return `pattern` if it can stand for topics; a topic stands for itself.

    Raises:
        InvalidNameError: If it cannot.
    """
    if not _PATTERN.fullmatch(checked_name(pattern)):
        raise InvalidNameError(
            pattern, "is no pattern of topics.", hint="Write orders.*, where * is one word and # any number of words."
        )
    return str(pattern)


def matches(pattern: str, topic: str) -> bool:
    """Return whether `topic` is one of those that `pattern` stands for, as AMQP's topic exchanges have it.

    Example:
        >>> matches("orders.*", "orders.created"), matches("orders.*", "orders.eu.created")
        (True, False)
        >>> matches("orders.#", "orders"), matches("#.created", "orders.eu.created")
        (True, True)
    """
    return _matcher(pattern).fullmatch(f".{topic}") is not None


def literal_beginning(pattern: str) -> str:
    """Return what every topic begins with that `pattern` stands for.

    Example:
        >>> literal_beginning("orders.eu.*.new"), literal_beginning("#"), literal_beginning("orders.#")
        ('orders.eu.', '', 'orders')
    """
    at = min((found for found in (pattern.find("*"), pattern.find("#")) if found >= 0), default=len(pattern))
    beginning = pattern[:at]
    return beginning.removesuffix(".") if pattern[at : at + 1] == "#" else beginning


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    words = {"*": rf"\.{_WORD}", "#": rf"(\.{_WORD})*"}
    return re.compile("".join(words.get(word, rf"\.{re.escape(word)}") for word in pattern.split(".")))


def run_prefix(run_id: str) -> str:
    """Return what the names of everything begin with that is forgotten with a run."""
    return f"run/{run_id}/"


def run_scope(run_id: str) -> str:
    """Return the scope of what the steps of one run share."""
    return f"run/{run_id}/memory"


def step_scope(run_id: str, step: str) -> str:
    """Return the scope of one step of one run."""
    return f"run/{run_id}/step/{step}"


def pipeline_scope(pipeline: str) -> str:
    """Return the scope of what a pipeline knows in all its runs."""
    return f"pipeline/{pipeline}"


def step_results_scope(pipeline: str) -> str:
    """Return the scope of what `PipelineMemory` keeps of a pipeline's steps."""
    return f"steps/{pipeline}"


def results_scope(pipeline: str) -> str:
    """Return the scope of what a pipeline's runs came to."""
    return f"results/{pipeline}"


def shared_scope(pipeline: str) -> str:
    """Return the scope of what others have shared with a pipeline."""
    return f"shared/{pipeline}"


def schedule_scope(pipeline: str) -> str:
    """Return the scope of the times for which a pipeline's schedules have started runs."""
    return f"schedule/{pipeline}"


def space_scope(space: str) -> str:
    """Return the scope of a space, which several pipelines share."""
    return f"space/{space}"


CACHE = "cache"
"""The scope of the outputs that all runs use again."""

CLAIMS = "cache-claims"
"""The scope of who works out right now what all runs may use again."""


def run_cache(run_id: str) -> str:
    """Return the scope of the outputs that one run uses again."""
    return f"run/{run_id}/{CACHE}"


def is_cache(scope: str) -> bool:
    """Return whether what a scope holds can be done without: outputs that are used again.

    Example:
        >>> is_cache("cache"), is_cache(run_cache("1f2e")), is_cache(run_scope("1f2e")), is_cache("space/cache")
        (True, True, False, False)
    """
    kind, _, rest = scope.partition("/")
    return scope in {CACHE, CLAIMS} or (kind == "run" and rest.partition("/")[2] == CACHE)


def topic_of(topic: str) -> str:
    """Return the store's name of a topic that people name."""
    return f"{_TOPICS}{topic}"


def pipeline_mailbox(pipeline: str) -> str:
    """Return the topic of what is sent to a pipeline, and the subscriber that reads it."""
    return f"pipeline/{pipeline}"


def run_mailbox(run_id: str) -> str:
    """Return the topic of what is sent to one run."""
    return f"run/{run_id}/mail"


def run_subscriber(run_id: str, step: str) -> str:
    """Return the subscriber that a step of a run is."""
    return f"run/{run_id}/step/{step}"


def reply_topic(key: str, *, run_id: str = "") -> str:
    """Return the topic in which the answer to one request is awaited."""
    return f"run/{run_id}/reply/{key}" if run_id else f"reply/{key}"


def named_subscriber(name: str) -> str:
    """Return the subscriber that people have given a name."""
    return f"subscriber/{name}"


def dead_letters(subscriber: str) -> str:
    """Return the topic of the messages that a subscriber could not handle, and the scope of what became of them."""
    return f"dead/{subscriber}"


def is_dead(topic: str) -> bool:
    """Return whether a topic is one of dead letters.

    Example:
        >>> is_dead(dead_letters("clerk")), is_dead(pipeline_mailbox("clerk"))
        (True, False)
    """
    return topic.startswith("dead/")


def redelivered(subscriber: str) -> str:
    """Return the topic of the dead letters that a subscriber is to try again."""
    return f"again/{subscriber}"


def mailbox(address: str) -> str:
    """Return the topic to which `address` sends: `pipeline:NAME`, `run:ID` or `topic:NAME`; a bare name is a pipeline.

    Raises:
        InvalidNameError: If it is no address.

    Example:
        >>> mailbox("report"), mailbox("run:1f2e"), mailbox("topic:orders.created")
        ('pipeline/report', 'run/1f2e/mail', 'topic/orders.created')
    """
    kind, name = _split(address, _MAIL_KINDS, bare="pipeline")
    if kind == "topic":
        return topic_of(checked_topic(name))
    return run_mailbox(name) if kind == "run" else pipeline_mailbox(name)


def source(address: str) -> str:
    """Return the topic, or the pattern of topics, that `address` means to a reader; a bare one is a pattern.

    Raises:
        InvalidNameError: If it is neither an address nor a pattern.

    Example:
        >>> source("orders.*"), source("pipeline:report")
        ('topic/orders.*', 'pipeline/report')
    """
    kind, name = _split(address, _MAIL_KINDS, bare="topic")
    return topic_of(checked_pattern(name)) if kind == "topic" else mailbox(address)


def is_pattern_of_topics(source: str) -> bool:
    """Return whether a reader's source stands for more than itself; a mailbox never does, whatever it is called."""
    return source.startswith(_TOPICS) and ("*" in source or "#" in source)


def shown(topic: str) -> str:
    """Return what people call a topic of the store.

    Example:
        >>> shown("topic/orders.created"), shown("pipeline/report"), shown("run/1f2e/mail")
        ('orders.created', 'pipeline:report', 'run:1f2e')
    """
    if topic.startswith("run/") and topic.endswith("/mail"):
        return f"run:{topic.removeprefix('run/').removesuffix('/mail')}"
    if topic.startswith("pipeline/"):
        return topic.replace("/", ":", 1)
    return topic.removeprefix(_TOPICS)


def memory_scope(address: str) -> str:
    """Return the scope that `address` means: `pipeline:NAME`, `run:ID`, `step:ID/STEP`, `space:NAME`, ...

    Raises:
        InvalidNameError: If it is no address.

    Example:
        >>> memory_scope("space:prices"), memory_scope("step:1f2e/search")
        ('space/prices', 'run/1f2e/step/search')
    """
    kind, name = _split(address, _MEMORY_KINDS, bare="")
    if kind == "step":
        run_id, slash, step = name.partition("/")
        if not slash or not step:
            raise InvalidNameError(address, "names no step.", hint="Write step:RUN_ID/STEP.")
        return step_scope(run_id, step)
    return run_scope(name) if kind == "run" else f"{kind}/{name}"


def memory_address(scope: str) -> str:
    """Return the address that means `scope`, the other way round.

    Example:
        >>> memory_address(memory_scope("run:1f2e")), memory_address("run/1f2e/step/search")
        ('run:1f2e', 'step:1f2e/search')
        >>> memory_address("run/1f2e/stay/memory")  # of the run inside the step `stay`
        'run:1f2e/stay'
    """
    kind, slash, name = scope.partition("/")
    if kind != "run":
        return f"{kind}:{name}" if slash else scope  # no memory of anybody's, but listed with the others
    run_id, _, rest = name.partition("/")
    if rest == CACHE:
        return f"{CACHE}:{run_id}"
    if rest == "memory":
        return f"run:{run_id}"
    if rest.endswith("/memory") and not rest.startswith("step/"):
        return f"run:{name.removesuffix('/memory')}"
    return f"step:{run_id}/{rest.removeprefix('step/')}"


def mail_address(topic: str) -> str:
    """Return the address that sends to the store's topic `topic`.

    Example:
        >>> mail_address("topic/orders.created"), mail_address("run/1f2e/mail")
        ('topic:orders.created', 'run:1f2e')
    """
    kind, _, name = topic.partition("/")
    return f"{kind}:{name.removesuffix('/mail') if kind == 'run' else name}"


def _split(address: str, kinds: tuple[str, ...], *, bare: str) -> tuple[str, str]:
    """Return the kind and the name of an address; without a kind it is `bare`, if that is one."""
    kind, colon, name = checked_name(address).partition(":")
    if bare and (not colon or kind not in kinds):
        return bare, address  # names of pipelines may hold a colon
    if not colon or kind not in kinds:
        known = ", ".join(f"{kind}:..." for kind in kinds)
        raise InvalidNameError(address, f"is no address.{nearest(kind, kinds)}", hint=f"Write one of {known}.")
    return kind, checked_name(name)
