"""What a person types to go somewhere in a recording: `14:03:20`, `+90s`, `-2m`, `50%`, `#1234`."""

import re
from datetime import datetime, timedelta

from msgspec import Struct

from agentmon.config import duration

DAY = timedelta(days=1)

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?\Z")
_NUMBER = re.compile(r"#\s*(\d{1,15})\Z")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d*)?)\s*%\Z")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")


class NoMoment(ValueError):
    """What was typed names no moment; the message is one sentence."""


class Moment(Struct, frozen=True):
    """A place in a recording: a time (epoch seconds), the number of a line, or a round by name."""

    time: float | None = None
    number: int | None = None
    round: str | None = None


def parse(text: str, *, start: float, end: float, now: float) -> Moment:
    """The moment that is meant. A time of day is local, and of the day of the recording that has
    it, next to `now` where several have; `+` and `-` count from `now`; anything else names a round
    (`report.naming`). Raises NoMoment where it is nothing of the kind."""
    word = text.strip()
    if not word:
        raise NoMoment("give a time such as 14:03:20, +90s, -2m, 50%, an event #1234, or a round")
    if (found := _NUMBER.match(word)) is not None:
        return Moment(number=int(found[1]))
    if (found := _SHARE.match(word)) is not None:
        return Moment(time=start + (end - start) * min(1.0, float(found[1]) / 100))
    if word[0] in "+-":
        return Moment(time=now + _signed(word))
    if (found := _CLOCK.match(word)) is not None:
        return Moment(time=_of_day(found, word, start, end, now))
    if _DATED.match(word) is not None:
        return Moment(time=_dated(word))
    return Moment(round=word)


def parse_at(text: str, *, start: float, end: float) -> Moment:
    """The same before anything is played: `+` counts from the beginning, `-` from the end, and a
    time of day is the first there is. Raises NoMoment."""
    now = end if text.strip().startswith("-") else start
    return parse(text, start=start, end=end, now=now)


def _signed(word: str) -> float:
    try:
        seconds = duration(word[1:].strip())
    except ValueError as problem:
        raise NoMoment(f"{word!r} is no time: give +90s or -2m") from problem
    return seconds if word[0] == "+" else -seconds


def _of_day(found: re.Match[str], word: str, start: float, end: float, now: float) -> float:
    hour, minute, second = int(found[1]), int(found[2]), float(found[3] or 0)
    if hour > 23 or minute > 59 or second >= 60:
        raise NoMoment(f"{word!r} is no time of day")
    day = datetime.fromtimestamp(now).astimezone().date()
    first = datetime.fromtimestamp(start).astimezone().date()
    days = [day, first]
    if (now - start) < 366 * 86_400 and (end - start) < 366 * 86_400:
        days += [first + number * DAY for number in range(int((end - start) // 86_400) + 2)]
    times = [
        datetime(each.year, each.month, each.day, hour, minute).astimezone().timestamp() + second
        for each in days
    ]
    # what is shown as a time of day has no fractions: the first and the last second are whole ones
    within = [time for time in times if start - 1 < time < end + 1]
    return min(within or times, key=lambda time: abs(time - now))


def _dated(word: str) -> float:
    try:
        return datetime.fromisoformat(word).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as problem:
        raise NoMoment(f"{word!r} is no time: give 2026-03-01T09:30") from problem
