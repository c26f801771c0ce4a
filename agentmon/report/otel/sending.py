"""Spans and totals to an OTLP endpoint, with the official SDK. Nothing else imports it."""

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentmon import __version__
from agentmon.core.text import one_line
from agentmon.report.otel.names import Names
from agentmon.report.otel.spans import Span
from agentmon.report.otel.totals import Metric
from agentmon.store.read import SessionRow

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

MISSING = "OTLP needs the OpenTelemetry SDK: pip install 'agentmon[otel]'"

LOGGER = "opentelemetry"


class Unavailable(Exception):
    """The SDK is not installed; the message says how to get it."""


class _Last(logging.Handler):
    """Keeps the last thing that the SDK complained about, for the one sentence that is told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
        if isinstance(record.args, tuple) and record.msg.startswith("Transient error"):
            self.reason = str(record.args[0])  # what comes after it only says that time is up

    def forget(self) -> None:
        self.text = self.reason = ""


def nanoseconds(seconds: float) -> int:
    """Epoch nanoseconds; a double holds no more than microseconds of today's epoch seconds."""
    return round(seconds * 1e6) * 1000


class Sender:
    """An endpoint: `endpoint` is the base URL, such as http://127.0.0.1:4318.

    Raises Unavailable.
    """

    def __init__(
        self,
        endpoint: str,
        names: Names,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        if importlib.util.find_spec("opentelemetry") is None:
            raise Unavailable(MISSING)
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as problem:
            raise Unavailable(MISSING) from problem
        base = endpoint.rstrip("/")
        given = dict(headers or {}) or None
        self._spans = OTLPSpanExporter(f"{base}/v1/traces", headers=given, timeout=timeout)
        self._metrics: Any = OTLPMetricExporter(
            f"{base}/v1/metrics", headers=given, timeout=timeout
        )
        self._names = names
        self._complaint = _Last()
        logger = logging.getLogger(LOGGER)
        logger.addHandler(self._complaint)
        logger.propagate = False

    @property
    def complaint(self) -> str:
        """Why the last attempt failed, in the SDK's words."""
        said = self._complaint.reason or self._complaint.text or "it gave no reason"
        return one_line(said, 200)

    def close(self) -> None:
        """Ends a retry that waits, too."""
        self._spans.shutdown()
        self._metrics.shutdown()
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self._complaint)
        logger.propagate = True

    def send_spans(self, batch: Sequence[tuple["Resource", Span]]) -> bool:
        """Sends spans; whether the endpoint took them. Retries what may pass, until its timeout."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._complaint.forget()
        readable = [self._readable(resource, span) for resource, span in batch]
        return self._spans.export(readable) is SpanExportResult.SUCCESS

    def resource(self, session: SessionRow, cwd: str | None) -> "Resource":
        """Who is told about: the agent's product and its session."""
        from opentelemetry.sdk.resources import Resource

        attributes: dict[str, Any] = {
            "service.name": session.agent,
            "service.instance.id": session.sid,
            "session.id": session.sid,
        }
        known = {
            "service.version": session.version,
            "process.pid": session.pid,
            "process.working_directory": cwd,
        }
        attributes |= {name: value for name, value in known.items() if value is not None}
        return Resource.create(attributes, self._names.schema_url)

    def _scope(self) -> Any:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        return InstrumentationScope("agentmon", __version__, self._names.schema_url)

    def _readable(self, resource: "Resource", span: Span) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        is_failed = span.error is not None
        parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id)
        return ReadableSpan(
            span.name,
            _context(span.trace_id, span.span_id),
            parent,
            resource,
            span.attributes,
            kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if is_failed else Status(StatusCode.UNSET),
            start_time=nanoseconds(span.start),
            end_time=nanoseconds(span.end),
            instrumentation_scope=self._scope(),
        )

    def send_metrics(
        self, metrics: Sequence[Metric], instance: str, since: float, now: float
    ) -> bool:
        """Sends totals since a time; whether the endpoint took them."""
        from opentelemetry.sdk.metrics import export as sdk
        from opentelemetry.sdk.resources import Resource

        self._complaint.forget()
        attributes = {"service.name": "agentmon", "service.instance.id": instance}
        resource = Resource.create(attributes, self._names.schema_url)
        begun, ended = nanoseconds(since), nanoseconds(max(now, since))
        made = [_metric(metric, begun, ended) for metric in metrics]
        scope = sdk.ScopeMetrics(self._scope(), made, self._names.schema_url)
        whole = sdk.ResourceMetrics(resource, [scope], self._names.schema_url)
        result = self._metrics.export(sdk.MetricsData([whole]))
        return result is sdk.MetricExportResult.SUCCESS


def _context(trace_id: int, span_id: int) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace_id, span_id, False, TraceFlags(TraceFlags.SAMPLED))


def _metric(metric: Metric, begun: int, ended: int) -> Any:
    from opentelemetry.sdk.metrics import export as sdk

    cumulative = sdk.AggregationTemporality.CUMULATIVE
    points: list[Any] = []
    for point in metric.points:
        one, attributes = point.series, dict(point.attributes)
        if metric.kind == "counter":
            value = round(one.total)
            points.append(sdk.NumberDataPoint(attributes, begun, ended, value))
        else:
            points.append(
                sdk.HistogramDataPoint(
                    attributes, begun, ended, one.count, one.total, one.buckets, metric.bounds,
                    one.low, one.high,
                )
            )  # fmt: skip
    data: Any = (
        sdk.Sum(points, cumulative, is_monotonic=True)
        if metric.kind == "counter"
        else sdk.Histogram(points, cumulative)
    )
    return sdk.Metric(metric.name, metric.description, metric.unit, data)
