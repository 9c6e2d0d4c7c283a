"""What starts runs of a pipeline by itself: messages and times. A worker carries them out."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from zoneinfo import ZoneInfo, available_timezones

from pydantic_core import to_json

from tagent.exceptions import ConfigurationError, DataPathError, MissingExtraError, nearest
from tagent.names import checked_pattern, pipeline_mailbox, topic_of
from tagent.paths import DataPath

MAILBOX = "pipeline"
"""The topic of an event trigger that means what is sent to the pipeline itself."""

SCHEDULED_AT = "scheduled_at"
"""The input that tells a run for which time it was started."""

_FIELDS = ("minute", "hour", "day", "month", "weekday")
_NICKNAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_STEADY = re.compile(r"(?![rRhH])[\w*,/?#-]+")  # croniter draws a number for R
_CRON_HINT = (
    "Write minute, hour, day, month and weekday: '*/5 * * * *' is every five minutes, '0 9 * * mon' Mondays at nine."
)


class TriggerError(ConfigurationError):
    """A trigger cannot be used.

    Attributes:
        trigger: What was written: a topic, a path, a cron expression or a time zone.

    Example:
        >>> try:
        ...     on_schedule("0 9 * * mon", timezone="Europe/Olso")
        ... except TriggerError as error:
        ...     print(error.message)
        'Europe/Olso' is no time zone. Did you mean 'Europe/Oslo'?
    """

    code = "trigger.invalid"

    def __init__(self, trigger: object, problem: str, *, hint: str = "") -> None:
        self.trigger = trigger
        super().__init__(f"{str(trigger)[:200]!r} {problem}", hint=hint)


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Starts a run for each message; its data are the run's inputs. Made by `on_event`.

    Attributes:
        topic: A topic, a pattern of topics, or `pipeline` for what is sent to the pipeline itself.
        where: What fields of the message's data, or paths into them, must be equal to; None for any message.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("ship", triggers=[on_event("orders.created", where={"country": "NO"})])
        >>> pipeline.triggers
        [EventTrigger(topic='orders.created', where={'country': 'NO'})]
    """

    topic: str
    where: Mapping[str, object] | None = None

    def source(self, pipeline: str) -> str:
        """Return the store's name of what is listened to."""
        return pipeline_mailbox(pipeline) if self.topic == MAILBOX else topic_of(self.topic)

    def subscriber(self, pipeline: str) -> str:
        """Return who reads for this trigger: the same one as long as the trigger means the same."""
        name = f"trigger/{pipeline}/{self.topic}"
        if self.where is None:
            return name
        meant = to_json(dict(sorted(self.where.items())))
        return f"{name}/{hashlib.sha256(meant).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """Starts a run at certain times. Made by `on_schedule`.

    Attributes:
        cron: Five fields: minute, hour, day of the month, month, day of the week; or a word like `@daily`.
        timezone: Where it is that time.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("report", triggers=[on_schedule("0 9 * * mon-fri", timezone="Europe/Oslo")])
        >>> pipeline.triggers
        [ScheduleTrigger(cron='0 9 * * mon-fri', timezone='Europe/Oslo')]
    """

    cron: str
    timezone: str = "UTC"

    def next_after(self, at: float) -> float:
        """Return the first scheduled time behind `at`, both in seconds since 1970-01-01 UTC.

        Example:
            >>> on_schedule("*/5 * * * *").next_after(0.0)
            300.0
        """
        from croniter import croniter

        return float(croniter(self.cron, self._there(at)).get_next())

    def newest_until(self, at: float) -> float:
        """Return the last scheduled time that is not behind `at`.

        Example:
            >>> on_schedule("*/5 * * * *").newest_until(300.0), on_schedule("*/5 * * * *").newest_until(899.9)
            (300.0, 600.0)
        """
        from croniter import croniter

        return float(croniter(self.cron, self._there(int(at) + 1)).get_prev())

    def text_of(self, at: float) -> str:
        """Return a time as a run is told of it, in ISO form with its offset from UTC.

        Example:
            >>> on_schedule("@daily", timezone="Asia/Tokyo").text_of(0.0)
            '1970-01-01T09:00:00+09:00'
        """
        return self._there(at).isoformat()

    def _there(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, ZoneInfo(self.timezone))


Trigger = EventTrigger | ScheduleTrigger


def on_event(topic: str, *, where: Mapping[str, object] | None = None) -> EventTrigger:
    """Return what starts a run for each message, with the message's data as its inputs.

    Args:
        topic: A topic like `orders.created`; a pattern, in which `*` is one word and `#` any number of words; or
            `pipeline` for what is sent to the pipeline itself.
        where: Only messages whose data are equal to this: field, or path like `customer.country` -> value.

    Raises:
        InvalidNameError: If it is no pattern of topics.
        TriggerError: If `where` says nothing that a message could be equal to.

    Example:
        >>> on_event("orders.*", where={"customer.country": "NO"}).topic
        'orders.*'
    """
    if where is not None:
        _check_where(where)
    return EventTrigger(checked_pattern(topic), where)


def on_schedule(cron: str, *, timezone: str = "UTC") -> ScheduleTrigger:
    """Return what starts a run at certain times; the input `scheduled_at`, if there is one, says for which.

    Where clocks are changed, a time that is left out comes at once behind the gap, and one that comes twice starts
    two runs. In UTC there is no such night.

    Args:
        cron: Minute, hour, day of the month, month and day of the week, as in `*/5 * * * *` and `0 9 * * mon-fri`;
            or a word like `@daily`.
        timezone: Where it is that time, like `Europe/Oslo`.

    Raises:
        TriggerError: If there is no such time, or no such time zone.
        MissingExtraError: If pipeline support is not installed.

    Example:
        >>> nightly = on_schedule("30 2 * * *", timezone="Asia/Tokyo")
        >>> nightly.text_of(nightly.next_after(0.0))
        '1970-01-02T02:30:00+09:00'
    """
    if find_spec("croniter") is None:
        raise MissingExtraError("pipeline", feature="A schedule")
    _check_timezone(timezone)
    _check_cron(cron)
    return ScheduleTrigger(cron, timezone)


def _check_where(where: object) -> None:
    if not isinstance(where, Mapping) or not where:
        raise TriggerError(where, "says nothing of messages.", hint='Write where={"field": value}.')
    for path in where:
        try:
            DataPath.parse(f"data.{path}")
        except DataPathError:
            raise TriggerError(path, "is no path into a message's data.", hint="Write field or field.name.") from None
    try:
        to_json(dict(where))
    except (ValueError, TypeError):
        raise TriggerError(where, "holds what no message can be equal to.", hint="Give texts and numbers.") from None


def _check_timezone(timezone: object) -> None:
    known = available_timezones()
    if str(timezone) not in known:
        suggestion = nearest(str(timezone), known)
        raise TriggerError(timezone, f"is no time zone.{suggestion}", hint="Write UTC, or a name like Europe/Oslo.")


def _check_cron(cron: object) -> None:
    from croniter import CroniterError, croniter

    if problem := _cron_problem(str(cron)):
        raise TriggerError(cron, f"is no cron expression: {problem}", hint=_CRON_HINT)
    try:
        croniter(str(cron), 0.0).get_next()
    except CroniterError:
        raise TriggerError(cron, "never comes: no year has such a day.") from None


def _cron_problem(cron: str) -> str:
    """Return what is wrong with an expression; empty when it can be read."""
    from croniter import CroniterError, croniter

    if cron.startswith("@"):
        return "" if cron in _NICKNAMES else f"there is no such word.{nearest(cron, _NICKNAMES)}"
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"it has {len(fields)} fields, not {len(_FIELDS)}."
    for place, (name, text) in enumerate(zip(_FIELDS, fields, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[place] = text
        try:
            croniter.expand(" ".join(alone))
        except CroniterError:
            return f"its {name} is {text!r}."
        if not _STEADY.fullmatch(text):
            return f"its {name} is {text!r}, which means something else each time."
    return ""
