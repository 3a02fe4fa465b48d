"""Counters of the service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["ServiceMetrics"]

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServiceMetrics:
    """Counters of one service; nothing in them comes from a request's content."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        labels = ["route", "method", "status"]
        self._requests = Counter("timbral_requests", "Requests answered", labels, registry=to)
        self._seconds = Histogram(
            "timbral_request_seconds",
            "From the head of a request to its answer",
            ["route"],
            buckets=SECONDS,
            registry=to,
        )
        self._refused = Counter("timbral_refused", "Requests refused", ["kind"], registry=to)
        self.in_work = Gauge("timbral_in_work", "Requests in work or waiting", registry=to)
        self._batch_size = Histogram(
            "timbral_batch_recordings", "Recordings in a batch", buckets=BATCH_SIZES, registry=to
        )
        self._audio = Counter("timbral_audio_seconds", "Audio embedded", registry=to)
        self._computing = Counter("timbral_encoder_seconds", "Encoder at work", registry=to)
        queue = Gauge("timbral_encoder_queue", "Jobs that wait for the encoder", registry=to)
        queue.set_function(waiting)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_refusal(self, kind: str) -> None:
        self._refused.labels(kind).inc()

    def count_batch(self, recordings: int, seconds: float, computing: float) -> None:
        self._batch_size.observe(recordings)
        self._audio.inc(seconds)
        self._computing.inc(computing)

    def as_text(self) -> bytes:
        return generate_latest(self.registry)
