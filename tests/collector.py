"""An OTLP receiver on loopback: takes protobuf over HTTP as a collector does, and keeps it."""

import gzip
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What was received; `refuse` is the status of every answer, 200 takes everything."""

    def __init__(self, port: int = 0) -> None:
        self.refuse = 200
        self.on_traces: Callable[[], None] | None = None
        """Called when traces are there, before they are answered."""
        self.asked = 0
        self.traces: list[Any] = []
        self.metrics: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        self.asked += 1
        if self.refuse != 200:
            return self.refuse
        self.headers.append(headers)
        if path == "/v1/traces":
            self.traces.append(ExportTraceServiceRequest.FromString(body))
            if self.on_traces is not None:
                self.on_traces()
        elif path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        else:
            return 404
        return 200

    def spans(self) -> list[dict[str, Any]]:
        """Every span as plain values, in the order in which they came."""
        return [
            _span(span, plain(whole.resource.attributes), scope.schema_url)
            for request in list(self.traces)
            for whole in request.resource_spans
            for scope in whole.scope_spans
            for span in scope.spans
        ]

    def last_metrics(self) -> dict[str, list[dict[str, Any]]]:
        """The points of the last request, by metric."""
        found: dict[str, list[dict[str, Any]]] = {}
        for whole in self.metrics[-1].resource_metrics if self.metrics else ():
            for scope in whole.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    data = getattr(metric, kind)
                    assert data.aggregation_temporality == 2  # cumulative
                    found[metric.name] = [
                        _point(point, metric.unit, kind) for point in data.data_points
                    ]
        return found


def _span(span: Any, resource: dict[str, Any], schema_url: str) -> dict[str, Any]:
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": span.status.code,
        "attributes": plain(span.attributes),
        "resource": resource,
        "schema_url": schema_url,
    }


def _point(point: Any, unit: str, kind: str) -> dict[str, Any]:
    row: dict[str, Any] = {"attributes": plain(point.attributes), "unit": unit}
    row["start"], row["time"] = point.start_time_unix_nano, point.time_unix_nano
    if kind == "sum":
        return {**row, "value": point.as_int}
    buckets = list(point.bucket_counts)
    return {**row, "count": point.count, "sum": point.sum, "buckets": buckets}


def plain(attributes: Any) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(collector.take(self.path, body, dict(self.headers)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler


@contextmanager
def collecting(port: int = 0) -> Generator[Collector]:
    """A collector for as long as the block lasts."""
    collector = Collector(port)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
