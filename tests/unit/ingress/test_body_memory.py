"""Bodies of requests under way are bounded together, not only each for itself."""

from __future__ import annotations

import pytest

from ingress.body import BodyMemory
from ingress.errors import Busy


def test_past_the_limit_further_bytes_are_refused_and_all_are_given_back() -> None:
    memory = BodyMemory(100)
    with memory.share(is_unlimited=False) as one:
        one.take(80)
        with pytest.raises(Busy), memory.share(is_unlimited=False) as other:
            other.take(30)
        assert memory.used_bytes == 80
    assert memory.used_bytes == 0


def test_a_single_request_may_have_a_body_of_any_length() -> None:
    memory = BodyMemory(100)
    with memory.share(is_unlimited=False) as one:
        one.take(60)
        one.take(60)
