"""A receiver of OTLP over HTTP. It reads what it is sent by the protocol's own definitions (opentelemetry-proto)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.serving import serving


class Collector:
    """Keeps the spans that it is sent, and the requests' headers; `status` is what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self._came = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path.endswith("/v1/traces")
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        body = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        self.headers.append(dict(request.headers))
        self._came.set()
        if self.status != 200:
            return web.Response(status=self.status, text="the collector is full")
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    async def asked(self) -> None:
        """Waits for the next request."""
        self._came.clear()
        await asyncio.wait_for(self._came.wait(), 20)


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as Python has them."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    async with serving(collector.handle) as url:
        collector.url = url
        yield collector
