"""Who waits for word of a message hears it, however much else is said."""

from __future__ import annotations

from actors.expectations import MAX_KEPT, Expectation, Expectations
from actors.outcome import Outcome, OutcomeKind

DECIDED = frozenset({OutcomeKind.COMPLETED, OutcomeKind.LOCKED})


def _outcome(kind: OutcomeKind, message_id: str = "m") -> Outcome:
    return Outcome(conversation_id="c", message_id=message_id, kind=kind)


async def test_the_end_is_heard_after_any_number_of_other_words() -> None:
    book = Expectations()
    async with Expectation(book, ("c", "m")) as expectation:
        for _ in range(MAX_KEPT * 2):
            book.tell(_outcome(OutcomeKind.STARTED))
        book.tell(_outcome(OutcomeKind.COMPLETED))
        outcome = await expectation.wait(DECIDED, 5)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED


async def test_each_word_is_heard_once_and_in_order_by_all_who_wait() -> None:
    book = Expectations()
    async with Expectation(book, ("c", "m")) as one, Expectation(book, ("c", "m")) as other:
        book.tell(_outcome(OutcomeKind.LOCKED))
        book.tell(_outcome(OutcomeKind.COMPLETED))
        for expectation in (one, other):
            heard = [await expectation.wait(DECIDED, 5) for _ in range(2)]
            assert [it and it.kind for it in heard] == [OutcomeKind.LOCKED, OutcomeKind.COMPLETED]
            assert await expectation.wait(DECIDED, 0) is None


async def test_a_word_about_another_message_is_not_heard() -> None:
    book = Expectations()
    async with Expectation(book, ("c", "m")) as expectation:
        book.tell(_outcome(OutcomeKind.COMPLETED, "other"))
        assert await expectation.wait(DECIDED, 0) is None
    assert len(book) == 0


async def test_nobody_waits_once_the_ingress_ends() -> None:
    book = Expectations()
    async with Expectation(book, ("c", "m")) as expectation:
        book.end_all()
        assert await expectation.wait(DECIDED, 60) is None
        assert expectation.is_over
    async with Expectation(book, ("c", "m")) as later:
        assert await later.wait(DECIDED, 60) is None
