from __future__ import annotations

import contextlib
import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.errors import ValidationFailed
from ingress.history import MAX_PARTS, parse_history


def problem_of(text: str) -> str:
    with pytest.raises(ValidationFailed) as caught:
        parse_history(text)
    (item,) = caught.value.details
    assert item.field == "history"
    return item.problem


def test_the_last_run_of_user_parts_is_the_message_and_the_rest_is_context() -> None:
    history = parse_history(
        "<USER>a</USER><br><BOT>b</BOT><br><USER>c</USER><br><USER>d</USER><br><BOT>e</BOT><br>"
    )
    assert history.new_parts == ["c", "d"]
    assert history.content == "c\nd"
    assert history.context == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "e"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<user>hi</user>",
        "<USER>hi</User><BR>",
        " \n<USER>hi</USER>\t<br/><br />\r\n",
        "<br><USER>hi</USER>",
        "<USER></USER><USER>hi</USER><USER> \n </USER>",
    ],
)
def test_tags_are_case_insensitive_and_what_is_between_is_loose(text: str) -> None:
    assert parse_history(text).new_parts == ["hi"]


def test_text_is_unescaped_and_kept_as_it_is() -> None:
    text = "<USER> a &lt;USER&gt; &amp;amp; <b>x</b><br>y\n</USER>"
    assert parse_history(text).content == " a <USER> &amp; <b>x</b><br>y\n"


def test_a_letter_that_only_looks_like_one_makes_no_tag() -> None:
    assert "outside" in problem_of("<u\u017fer>hi</u\u017fer>")


@pytest.mark.parametrize("text", ["", "<br>", "<BOT>b</BOT><br>"])
def test_no_user_part_is_refused(text: str) -> None:
    assert problem_of(text) == "has no USER part"


@pytest.mark.parametrize(
    "text", ["<USER></USER>", "<USER> \n</USER><BOT>b</BOT>", "<USER>a</USER><BOT>b</BOT><USER/>"]
)
def test_only_empty_user_parts_are_refused(text: str) -> None:
    assert problem_of(text)


def test_an_empty_last_run_is_refused_even_after_one_that_is_not() -> None:
    text = "<USER>a</USER><BOT>b</BOT><USER></USER>"
    assert problem_of(text) == "has no text in its last USER part"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "text outside of <USER> and <BOT> (at character 0)"),
        ("<USER>a</USER>x", "text outside of <USER> and <BOT> (at character 14)"),
        ("<USER>a", "<USER> is not closed (at character 7)"),
        ("</BOT>", "</BOT> closes nothing (at character 0)"),
        ("<USER>a</BOT>", "</BOT> inside of <USER> (at character 7)"),
        ("<USER><USER>a</USER></USER>", "<USER> inside of <USER> (at character 6)"),
    ],
)
def test_malformed_text_is_refused_with_its_place(text: str, expected: str) -> None:
    assert problem_of(text) == expected


def test_there_may_be_so_many_parts() -> None:
    assert len(parse_history("<USER>a</USER><br>" * MAX_PARTS).new_parts) == MAX_PARTS
    assert problem_of("<USER>a</USER><br>" * (MAX_PARTS + 1)) == "has more than 500 parts"


@pytest.mark.timeout(60)  # in quadratic time it would take minutes
@pytest.mark.parametrize(
    "text",
    [
        "<USER>" * 150_000,
        "<" * 1_000_000,
        "<br " * 250_000,
        "<br" + " " * 1_000_000,
        "<USER>" + "<br>" * 250_000,
        " " * 1_000_000 + "x",
        "<USER>" + "&" * 900_000 + "</USER>",
        "<USER>a</USER>" + "<br>" * 240_000,
    ],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    with contextlib.suppress(ValidationFailed):
        parse_history(text)


contents = st.text(max_size=20).filter(lambda text: text.strip(" \t\r\n\f\v"))
parts = st.lists(st.tuples(st.sampled_from(["USER", "BOT"]), contents), min_size=1, max_size=20)


@given(parts)
def test_what_was_escaped_comes_back(written: list[tuple[str, str]]) -> None:
    # An escaped text may hold what is no character in HTML; those do not come back the same.
    readable = [(name, html.unescape(html.escape(text))) for name, text in written]
    text = "".join(f"<{name}>{html.escape(text)}</{name}><br>" for name, text in written)
    if all(name == "BOT" for name, _ in written):
        assert problem_of(text) == "has no USER part"
        return
    history = parse_history(text)
    everything = [item["content"] for item in history.context] + history.new_parts
    assert sorted(everything) == sorted(content for _, content in readable)


@given(st.text(st.sampled_from("<>/USERBOTbr uab&;"), max_size=100))
def test_any_text_is_a_history_or_refused(text: str) -> None:
    with contextlib.suppress(ValidationFailed):
        assert parse_history(text).new_parts
