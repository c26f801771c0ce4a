"""Metrics: cumulative totals over everything exported so far, and how the conventions call them.

Cumulative, because totals may be sent twice and still count once: what a crash or a failed export
leaves open is sent again as it is. Pure.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from agentmon.report.otel.names import Names
from agentmon.report.otel.spans import Measure
from agentmon.report.otel.state import Series, key_of

SECONDS = tuple(0.01 * 2**step for step in range(14))
AGENT_SECONDS = tuple(0.1 * 2**step for step in range(13))
TOKENS = tuple(float(4**step) for step in range(14))

MOST_SERIES = 5_000
"""Series of an endpoint, about; names that come after that are lumped together as "other"."""

BOUNDS: dict[str, tuple[float, ...]] = {
    "inference_duration": SECONDS,
    "first_chunk": SECONDS,
    "tool_duration": SECONDS,
    "wait_duration": AGENT_SECONDS,
    "agent_duration": AGENT_SECONDS,
    "input_tokens": TOKENS,
    "output_tokens": TOKENS,
    "cache_read": TOKENS,
    "cache_write": TOKENS,
}
"""The upper bounds of the buckets, as the conventions advise them."""


def grown(known: Iterable[Series], measures: Iterable[Measure]) -> list[Series]:
    """The series that these measures change, as they are then; `known` stay as they are."""
    by_key = {(one.name, key_of(one.attributes)): one for one in known}
    changed: dict[tuple[str, str], Series] = {}
    for measure in measures:
        key = measure.name, key_of(measure.attributes)
        is_new = key not in by_key and key not in changed
        if is_new and len(by_key) + len(changed) >= MOST_SERIES:
            measure = _lumped(measure)
            key = measure.name, key_of(measure.attributes)
        series = changed.get(key) or _copy(by_key.get(key), measure)
        changed[key] = series
        series.buckets[bisect_left(BOUNDS[measure.name], measure.value)] += 1
        series.count += 1
        series.total += measure.value
        series.low = min(series.low, measure.value)
        series.high = max(series.high, measure.value)
    return list(changed.values())


def _lumped(measure: Measure) -> Measure:
    """A measure without what agents named."""
    few = {
        k: "other" if k in ("tool", "agent", "model") else v for k, v in measure.attributes.items()
    }
    return Measure(measure.name, measure.value, few)


def _copy(known: Series | None, measure: Measure) -> Series:
    if known is not None:
        return Series(
            known.name, known.attributes, known.count, known.total, known.low, known.high,
            list(known.buckets),
        )  # fmt: skip
    buckets = [0] * (len(BOUNDS[measure.name]) + 1)
    return Series(measure.name, measure.attributes, 0, 0.0, measure.value, measure.value, buckets)


class Point(Struct, frozen=True):
    """A series under the attributes of the conventions."""

    attributes: dict[str, str]
    series: Series


class Metric(Struct, frozen=True):
    """A metric as the conventions call it."""

    name: str
    unit: str
    description: str
    kind: Literal["histogram", "counter"]
    points: list[Point]
    bounds: tuple[float, ...] = ()


def metrics(series: Sequence[Series], names: Names) -> list[Metric]:
    """The totals as metrics of a version of the conventions."""
    found = [
        _histogram(names.inference_duration, "s", "Duration of model calls", series, names,
                   "inference_duration", "chat"),
        _histogram(names.inference_first_chunk, "s", "Time until a model's first chunk", series,
                   names, "first_chunk", "chat"),
        _histogram("gen_ai.execute_tool.duration", "s", "Duration of tool calls", series, names,
                   "tool_duration", "execute_tool"),
        _histogram("gen_ai.invoke_agent.duration", "s", "Duration of rounds and subagents", series,
                   names, "agent_duration", "invoke_agent"),
        _histogram("agentmon.wait.duration", "s", "Waits for a person, stalls, overdue calls",
                   series, names, "wait_duration", ""),
        *(_counters(series, names) if names.token_counters else [_token_usage(series, names)]),
    ]  # fmt: skip
    return [metric for metric in found if metric.points]


_PLAIN = {
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "agent": ("gen_ai.agent.name",),
    "tool": ("gen_ai.tool.name",),
    "error": ("error.type",),
    "wait": ("agentmon.wait",),
}


def _points(
    series: Sequence[Series], names: Names, name: str, operation: str, **more: str
) -> list[Point]:
    points: list[Point] = []
    for one in series:
        if one.name == name:
            attributes = {"gen_ai.operation.name": operation} if operation else {}
            for key, value in one.attributes.items():
                called = (names.provider,) if key == "provider" else _PLAIN[key]
                attributes |= dict.fromkeys(called, value)
            points.append(Point(attributes | more, one))
    return points


def _histogram(
    name: str,
    unit: str,
    description: str,
    series: Sequence[Series],
    names: Names,
    own: str,
    operation: str,
) -> Metric:
    points = _points(series, names, own, operation)
    return Metric(name, unit, description, "histogram", points, BOUNDS[own])


def _counters(series: Sequence[Series], names: Names) -> list[Metric]:
    said = {
        "input_tokens": ("input_tokens", "Input tokens, cached ones included"),
        "output_tokens": ("output_tokens", "Output tokens"),
        "cache_read": ("cache_read.input_tokens", "Input tokens read from a cache"),
        "cache_write": ("cache_write.input_tokens", "Input tokens written to a cache"),
    }
    return [
        Metric(f"gen_ai.client.inference.usage.{name}", "{token}", description, "counter",
               _points(series, names, own, "chat"))
        for own, (name, description) in said.items()
    ]  # fmt: skip


def _token_usage(series: Sequence[Series], names: Names) -> Metric:
    points = [
        point
        for kind in ("input", "output")
        for point in _points(series, names, f"{kind}_tokens", "chat", **{"gen_ai.token.type": kind})
    ]
    return Metric(
        "gen_ai.client.token.usage", "{token}", "Tokens of model calls", "histogram", points, TOKENS
    )
