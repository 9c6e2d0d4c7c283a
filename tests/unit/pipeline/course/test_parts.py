"""Which parts of a step may begin, and in which order."""

from tagent.pipeline.course.parts import PartQueue


def test_parts_begin_in_order_as_far_as_there_is_room() -> None:
    """The first items of a list are not kept waiting by the last ones."""
    queue = PartQueue.of(["0", "1", "2"], limit=2)
    queue.started("0")
    assert (queue.startable, queue.may_start) == (("1",), True)
    queue.started("1")
    assert (queue.startable, queue.may_start) == ((), False)


def test_another_attempt_at_a_part_takes_no_other_one_off_the_queue() -> None:
    """A retried item would else cost the list one that never had its turn."""
    queue = PartQueue.of(["0", "1", "2"], limit=1)
    queue.started("0")
    queue.rests("0")
    queue.started("0")
    assert (list(queue.waiting), queue.running, queue.resting) == (["1", "2"], {"0"}, set())


def test_nothing_begins_any_more_once_too_many_have_failed() -> None:
    """What can no longer come right is not paid for."""
    queue = PartQueue.of(["0", "1", "2"], limit=2)
    queue.started("0")
    queue.ended("0", has_failed=True)
    assert (queue.startable, queue.may_start) == ((), False)
