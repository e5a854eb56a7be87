"""What hosts of different clusters tell each other, and what they take from whoever may publish."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.cluster_link import MAX_NOTICE_BYTES, ClusterLink, HostAddress, Notice
from actors.codec import Envelope, EnvelopeKind
from actors.far_hosts import concerns_far_host
from actors.outcome import Outcome, OutcomeKind
from actors.outcome_streams import OutcomeStreams
from storage.records import StoredMessage
from storage.redis_channels import MAX_PUBLISHED_BYTES, Channels

HERE = HostAddress("a", "host-0#111")
THERE = HostAddress("b", "host-0#222")
STORED = StoredMessage(
    message_id="m",
    job_id="j",
    seq=1,
    sender_id="s",
    sender_type="user",
    content="not what the database holds",
    timestamp=1.0,
    accepted_at=1.0,
    bot_id="default",
)


class Bus(Channels):
    """All channels, in memory; ``heard`` is what was published to each, text by text."""

    def __init__(self) -> None:
        self.heard: defaultdict[str, list[bytes]] = defaultdict(list)
        self.listeners: set[str] = set()
        self.questions = 0
        self.is_away = False

    async def publish(self, texts: Sequence[tuple[str, bytes]]) -> bool:
        for channel, text in texts:
            if not self.is_away:
                self.heard[channel].append(text)
        return not self.is_away

    async def have_listeners(self, channels: Sequence[str]) -> list[bool]:
        self.questions += 1
        return [channel in self.listeners for channel in channels]


class Side:
    """One host's end."""

    def __init__(self, address: HostAddress, bus: Bus) -> None:
        self.address = address
        self.streams = OutcomeStreams()
        self.link = ClusterLink(address, bus, self.streams)
        self.taken: list[Envelope] = []
        self.heard: dict[str, int] = {}
        self._bus = bus

    def hear(self) -> None:
        """Take in what was published for this host."""
        for text in self._bus.heard.pop(self.address.channel, []):
            self.link.receive(text, self.taken.append)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def here(bus: Bus) -> Side:
    return Side(HERE, bus)


@pytest.fixture
def there(bus: Bus) -> Side:
    return Side(THERE, bus)


def poke(message_id: str = "m", **fields: Any) -> Envelope:
    return Envelope(
        conversation_id="c", kind=EnvelopeKind.POKE, epoch=3, message_id=message_id, **fields
    )


def outcome(kind: OutcomeKind = OutcomeKind.LOCKED, **fields: Any) -> Outcome:
    return Outcome(conversation_id="c", message_id="m", kind=kind, job_id="j", **fields)


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (nothing tells when a background task has got there)
            await asyncio.sleep(0)


async def tell(side: Side, to: Side, bus: Bus, *envelopes: Envelope) -> None:
    for envelope in envelopes:
        side.link.tell(to.address, envelope)
    await settled(lambda: bool(bus.heard[to.address.channel]))
    to.hear()


async def heard_by(side: Side, ingress_id: str) -> list[Outcome]:
    """Return what the ingress is told; the next time it is told other things."""
    side.heard[ingress_id], outcomes = await side.streams.read(
        ingress_id, side.heard.get(ingress_id, 0)
    )
    return outcomes


def test_an_address_is_read_as_it_is_written_and_an_owner_of_this_cluster_is_none() -> None:
    assert HostAddress.parse(str(HERE)) == HERE
    assert HostAddress.parse("host-0#111") is None


async def test_the_outcome_comes_back_to_the_ingress_that_asked(
    bus: Bus, here: Side, there: Side
) -> None:
    await tell(here, there, bus, poke(reply_to="ingress-1"))
    (asked,) = there.taken
    assert (asked.message_id, asked.epoch) == ("m", 3)
    assert asked.reply_to is not None

    there.link.put(asked.reply_to, outcome())
    await settled(lambda: bool(bus.heard[HERE.channel]))
    here.hear()
    assert await heard_by(here, "ingress-1") == [outcome()]


async def test_an_ingress_of_this_cluster_is_told_without_redis(bus: Bus, here: Side) -> None:
    bus.is_away = True
    here.link.put("ingress-1", outcome())
    here.link.put(f"{HERE}/ingress-2", outcome())
    assert await heard_by(here, "ingress-1") == [outcome()]
    assert await heard_by(here, "ingress-2") == [outcome()]


async def test_a_question_that_is_passed_on_keeps_the_ingress_that_asked(
    bus: Bus, here: Side, there: Side
) -> None:
    third = Side(HostAddress("c", "host-0#333"), bus)
    await tell(here, there, bus, poke(reply_to="ingress-1"))
    await tell(there, third, bus, *there.taken)
    assert third.taken[0].reply_to == f"{HERE}/ingress-1"


async def test_what_is_told_at_the_same_time_is_one_text_for_each_host(
    bus: Bus, here: Side, there: Side
) -> None:
    other = HostAddress("b", "host-1#444")
    for number in range(50):
        here.link.tell(THERE, poke(f"m{number}"))
        here.link.tell(other, poke(f"n{number}"))
    await settled(lambda: bool(bus.heard[other.channel]))
    assert len(bus.heard[THERE.channel]) == len(bus.heard[other.channel]) == 1
    there.hear()
    assert [it.message_id for it in there.taken] == [f"m{number}" for number in range(50)]


async def test_who_listens_is_asked_once_for_many(bus: Bus, here: Side) -> None:
    bus.listeners.add(THERE.channel)
    gone = HostAddress("b", "host-0#old")
    answers = await asyncio.gather(*(here.link.reaches(it) for it in [THERE, gone] * 50))
    assert answers == [True, False] * 50
    assert bus.questions == 1


async def test_an_outcome_too_long_to_publish_sends_the_caller_to_the_database(
    bus: Bus, here: Side, there: Side
) -> None:
    result = "x" * (MAX_NOTICE_BYTES + 1)
    there.link.put(f"{HERE}/ingress-1", outcome(OutcomeKind.COMPLETED, result=result))
    await settled(lambda: bool(bus.heard[HERE.channel]))
    here.hear()
    (told,) = await heard_by(here, "ingress-1")
    assert (told.kind, told.job_id, told.result) == (OutcomeKind.GONE, "j", None)


async def test_texts_stay_within_what_is_published(bus: Bus, here: Side, there: Side) -> None:
    result = "x" * (MAX_NOTICE_BYTES - 1000)
    for _ in range(12):
        there.link.put(f"{HERE}/ingress-1", outcome(OutcomeKind.COMPLETED, result=result))
    count = 0
    while count < 12:
        await settled(lambda: bool(bus.heard[HERE.channel]))
        assert all(len(text) <= MAX_PUBLISHED_BYTES for text in bus.heard[HERE.channel])
        here.hear()
        count += len(await heard_by(here, "ingress-1"))


async def test_with_redis_away_what_is_told_is_lost_and_that_is_all(
    bus: Bus, here: Side, there: Side
) -> None:
    bus.is_away = True
    with capture_logs() as logs:
        here.link.tell(THERE, poke())
        await settled(lambda: bool(logs))
    assert logs[0]["event"] == "notices_not_sent"
    bus.is_away = False
    await tell(here, there, bus, poke("later"))
    assert [it.message_id for it in there.taken] == ["later"]


_encode = msgspec.msgpack.encode


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xc1 not msgpack",
        _encode({"envelopes": 1}),
        _encode(["text"]),
        _encode([b"\xc1"]),
        _encode([_encode(["wrong"])]),
        _encode([_encode([["c", "no such kind"]])]),
    ],
)
def test_what_cannot_be_read_is_logged_and_dropped(here: Side, text: bytes) -> None:
    with capture_logs() as logs:
        here.link.receive(text, here.taken.append)
    assert not here.taken
    assert [it["log_level"] for it in logs] == ["warning"]


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(conversation_id="c", kind=EnvelopeKind.MESSAGE, message_id="m", message=STORED),
        Envelope(conversation_id="c", kind=EnvelopeKind.POKE, message_id="m", message=STORED),
        Envelope(conversation_id="c", kind=EnvelopeKind.REOPEN),
        Envelope(conversation_id="c", kind=EnvelopeKind.RESET, holder=str(THERE)),
    ],
)
def test_a_message_is_taken_from_the_database_only(here: Side, envelope: Envelope) -> None:
    """What is published may wake a conversation up; it brings nothing into it."""
    parcel = _encode([_encode(Notice(envelope=envelope)), _encode(Notice(envelope=poke()))])
    with capture_logs() as logs:
        here.link.receive(parcel, here.taken.append)
    assert here.taken == [poke()]
    assert [it["event"] for it in logs] == ["notice_dropped"]


async def test_a_message_goes_without_its_content(bus: Bus, here: Side, there: Side) -> None:
    await tell(here, there, bus, msgspec.structs.replace(poke(), message=STORED))
    assert there.taken == [poke()]


def test_an_owner_elsewhere_is_told_of_a_cancelled_job_unknown_here_and_of_a_reset() -> None:
    cancelled = Envelope(conversation_id="c", kind=EnvelopeKind.CANCEL_JOB, job_id="j")
    reset = Envelope(conversation_id="c", kind=EnvelopeKind.RESET, holder=str(THERE))
    assert concerns_far_host(cancelled, is_known=False)
    assert not concerns_far_host(cancelled, is_known=True)
    assert concerns_far_host(reset, is_known=True)
    assert not concerns_far_host(msgspec.structs.replace(reset, holder=None), is_known=True)
    assert not concerns_far_host(poke(), is_known=False)
