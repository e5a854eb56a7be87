"""Has messages stored, as far as there is room for them."""

from __future__ import annotations

import msgspec

from actors.admission import Admission
from actors.ports import Overloaded, StorageUnavailable
from actors.writer_link import WriterLink
from storage.codec import StorageFailure
from storage.metrics import ACCEPTED_MESSAGES, DUPLICATE_MESSAGES, REFUSED_MESSAGES
from storage.records import Accepted, AcceptOutcome, NewMessage

__all__ = ["Acceptance"]

ACCEPT_SECONDS = 5.0
"""After so long without word from the database nobody knows whether a message is stored."""


class Acceptance:
    """Stores messages and counts what became of them."""

    def __init__(self, writer: WriterLink, admission: Admission) -> None:
        self._writer = writer
        self._admission = admission
        self.under_way = 0
        """Messages that are being stored."""

    async def accept(self, message: NewMessage) -> Accepted:
        """Store a message. Raises ``StorageUnavailable`` or ``Overloaded``."""
        try:
            accepted = await self._store(message)
        except Overloaded:
            REFUSED_MESSAGES.add("overloaded")
            raise
        except StorageUnavailable:
            REFUSED_MESSAGES.add("storage_unavailable")
            raise
        if accepted.outcome is AcceptOutcome.REFUSED:
            REFUSED_MESSAGES.add("not_storable")
        elif accepted.outcome is AcceptOutcome.DUPLICATE:
            DUPLICATE_MESSAGES.add()
        else:
            ACCEPTED_MESSAGES.add()
        return accepted

    async def _store(self, message: NewMessage) -> Accepted:
        self._admission.check(message, self.under_way)
        self.under_way += 1
        try:
            result = await self._writer.call(message, ACCEPT_SECONDS)
        except TimeoutError:
            raise StorageUnavailable("the database did not answer in time") from None
        finally:
            self.under_way -= 1
        if result is StorageFailure.OVERLOADED:
            raise Overloaded("too many messages wait for the database")
        if not isinstance(result, Accepted):
            raise StorageUnavailable("the database did not answer")
        if result.outcome is AcceptOutcome.DUPLICATE and result.job_id == message.job_id:
            # Stored by a first try of the writer whose outcome it did not learn.
            return msgspec.structs.replace(result, outcome=AcceptOutcome.REVIVED)
        return result
