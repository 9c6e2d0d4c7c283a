"""`Inbox`: the messages of a subscriber, one after the other, each acknowledged when its reader says so."""

from functools import partial

from tagent.messaging.reading import Reader
from tagent.messaging.received import ReceivedMessage, Where
from tagent.messaging.waiting import wait_until
from tagent.ports.effect_errors import CursorConflictError
from tagent.ports.effects import Effects
from tagent.ports.messages import Receipt
from tagent.ports.services import Services


class Inbox:
    """What a subscriber reads.

    Args:
        services: Where the messages are.
        subscriber: Who reads.
        source: A topic of the store, or a pattern of them.
        where: Which messages are meant; the others are passed over.
    """

    def __init__(self, services: Services, subscriber: str, source: str, *, where: Where | None = None) -> None:
        self._services = services
        self._reader = Reader(services.store, subscriber, source)
        self._where = where

    async def next(self, *, until: float | None = None, schema: object = None) -> ReceivedMessage | None:
        """Return the next message, as soon as there is one; None if there is none in time.

        Args:
            until: How long to wait, in seconds since 1970-01-01 UTC; None for ever.
            schema: The type to read the data as.

        Raises:
            PayloadError: If it does not fit the schema. It is not read, then.
        """
        services = self._services
        look = partial(self._reader.next, self._where)
        found = await wait_until(look, store=services.store, clock=services.clock, until=until)
        try:
            return None if found is None else ReceivedMessage.of(found, schema)
        except BaseException:
            self._reader.start_again()
            raise

    def receipts(self) -> tuple[Receipt, ...]:
        """Return what writes down that everything is read up to the last message."""
        return self._reader.receipts()

    async def acknowledge(self) -> bool:
        """Write down that everything is read up to the last message; False if another process has read on meanwhile."""
        receipts = self.receipts()
        if not receipts:
            return True
        try:
            await self._services.store.write(Effects(receipts=receipts))
        except CursorConflictError:
            self._reader.start_again()
            return False
        return True
