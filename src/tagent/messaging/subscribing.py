"""Where a subscriber begins."""

from tagent.messaging.reading import topics_of
from tagent.ports.effects import Effects
from tagent.ports.messages import Subscription
from tagent.ports.store import Store


async def subscriptions_to(source: str, subscriber: str, store: Store) -> tuple[Subscription, ...]:
    """Return what lets a subscriber begin behind the newest message of everything that a source stands for."""
    return tuple([Subscription(subscriber, topic) for topic in await topics_of(source, store)])


async def begin_now(source: str, subscriber: str, store: Store) -> None:
    """Let a subscriber that has not begun yet begin behind the newest message.

    That he has begun is known by his place in the source itself, which a pattern has too, although it is no topic:
    what began while he was away must not be passed over.
    """
    if not await store.cursors(subscriber=subscriber, topic=source):
        begun = Subscription(subscriber, source)
        others = await subscriptions_to(source, subscriber, store)
        await store.write(Effects(subscriptions=tuple(dict.fromkeys((begun, *others)))))
