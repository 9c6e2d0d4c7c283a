"""Schedules: each time starts one run."""

import logging

import pytest
from pydantic import BaseModel

from tagent.exceptions import ConfigurationError
from tagent.names import InvalidNameError
from tagent.pipeline import Pipeline, TriggerError, on_event, on_schedule, validate
from tagent.pipeline.triggers import Trigger
from workers import Shop

HOUR = 3600.0


def clockwork(*triggers: Trigger) -> tuple[Pipeline, list[str]]:
    """Return a pipeline that starts on `triggers`, and the times that it was told."""
    told: list[str] = []

    async def tell(scheduled_at: str) -> None:
        told.append(scheduled_at)

    return Pipeline("clock", triggers=triggers).step("tell", run=tell), told


async def test_a_schedule_starts_a_run_at_each_of_its_times() -> None:
    """From when a worker first sees it; the run is told for which time it is."""
    pipeline, told = clockwork(on_schedule("*/5 * * * *"))
    shop = Shop(pipeline, now=100)
    hired = shop.hire()
    await shop.clock.sleep(850)
    await hired.stop()
    assert told == ["1970-01-01T00:05:00+00:00", "1970-01-01T00:10:00+00:00", "1970-01-01T00:15:00+00:00"]
    runs = await shop.runs()
    assert [run.created_at for run in runs] == [300, 600, 900]
    assert runs[0].labels["trigger"] == "*/5 * * * * 1970-01-01T00:05:00+00:00"


async def test_a_schedule_is_in_the_time_of_its_zone() -> None:
    """Nine o'clock is somewhere."""
    pipeline, told = clockwork(on_schedule("0 9 * * *", timezone="Asia/Tokyo"))
    shop = Shop(pipeline, now=23.9 * HOUR)
    hired = shop.hire()
    await shop.clock.sleep(0.2 * HOUR)
    await hired.stop()
    assert told == ["1970-01-02T09:00:00+09:00"]
    assert [run.created_at for run in await shop.runs()] == [24 * HOUR]


async def test_a_run_that_does_not_ask_for_its_time_is_told_none() -> None:
    """An input that nobody reads would be a mistake."""

    async def work() -> str:
        return "done"

    shop = Shop(Pipeline("plain", triggers=[on_schedule("@hourly")]).step("work", run=work), now=0.9 * HOUR)
    hired = shop.hire()
    await shop.clock.sleep(0.2 * HOUR)
    await hired.stop()
    assert [run.status for run in await shop.runs()] == ["completed"]


async def test_times_that_were_missed_start_one_run_for_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of runs for a weekend without a worker would help nobody."""
    pipeline, told = clockwork(on_schedule("*/5 * * * *"))
    shop = Shop(pipeline)
    first = shop.hire()
    await shop.clock.sleep(400)
    await first.stop()
    shop.clock.advance(2 * HOUR)
    with caplog.at_level(logging.WARNING):
        second = shop.hire()
        await shop.clock.sleep(10)
        await second.stop()
    assert told == ["1970-01-01T00:05:00+00:00", "1970-01-01T02:05:00+00:00"]
    assert "missed its times from 1970-01-01T00:10:00+00:00 on" in caplog.text


async def test_several_workers_start_one_run_for_each_time() -> None:
    """The last time is a document of which each write must know the version."""
    pipeline, told = clockwork(on_schedule("* * * * *"))
    shop = Shop(pipeline)
    hired = [shop.hire() for _ in range(3)]
    await shop.clock.sleep(301)
    for each in hired:
        await each.stop()
    assert told == [f"1970-01-01T00:0{minute}:00+00:00" for minute in range(1, 6)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: on_schedule("61 * * * *"), "its minute is '61'"),
        (lambda: on_schedule("* * * *"), "it has 4 fields, not 5"),
        (lambda: on_schedule("@dayly"), "Did you mean '@daily'"),
        (lambda: on_schedule("0 0 30 2 *"), "never comes"),
        (lambda: on_schedule("R * * * *"), "something else each time"),
        (lambda: on_schedule("* * * * *", timezone="Europe/Olso"), "Did you mean 'Europe/Oslo'"),
        (lambda: on_event("orders", where={}), "says nothing"),
        (lambda: on_event("orders", where={"a b": 1}), "no path"),
        (lambda: on_event("orders", where={"a": object()}), "no message can be equal to"),
    ],
)
def test_a_trigger_that_cannot_be_used_is_refused_when_it_is_made(make: object, message: str) -> None:
    """Not at three in the morning."""
    with pytest.raises(TriggerError, match=message):
        make()  # type: ignore[operator]  # a function


def test_a_topic_that_is_none_is_refused_when_it_is_made() -> None:
    """With the same words as everywhere."""
    with pytest.raises(InvalidNameError, match="no pattern"):
        on_event("orders..new")


def test_triggers_that_do_not_go_with_their_pipeline_are_problems() -> None:
    """They are told with all the others, before anything runs."""

    class Needs(BaseModel):
        city: str
        scheduled_at: str

    hourly = on_schedule("@hourly")
    pipeline = Pipeline("p", inputs=Needs, triggers=[hourly, hourly, "orders.*"]).step("a", "Go to {city}")  # type: ignore[list-item]  # wrong on purpose
    found = {problem.code: problem.message for problem in validate(pipeline)}
    assert found.keys() == {"trigger_inputs", "duplicate_trigger", "bad_trigger"}
    assert "'city' has no default" in found["trigger_inputs"]


def test_a_copy_of_a_pipeline_has_its_triggers() -> None:
    """And those that are given in addition."""
    hourly, daily = on_schedule("@hourly"), on_schedule("@daily")
    assert Pipeline(Pipeline("p", triggers=[hourly]), triggers=[daily]).triggers == [hourly, daily]


def test_a_trigger_that_means_something_else_reads_for_itself() -> None:
    """Otherwise a message that it did not mean then would count as read now."""
    plain, one, same = on_event("t"), on_event("t", where={"a": 1, "b": 2}), on_event("t", where={"b": 2, "a": 1})
    assert one.subscriber("p") == same.subscriber("p") != plain.subscriber("p")
    assert plain.subscriber("p") == "trigger/p/t"


def test_a_trigger_error_is_a_mistake_in_the_configuration() -> None:
    """The command line ends with the code for that."""
    assert issubclass(TriggerError, ConfigurationError)
