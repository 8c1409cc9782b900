"""Figures of the server in Prometheus' format: counted here, or read from the house when asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fathom.serving.service import Ended

if TYPE_CHECKING:
    from fathom.serving.house import House

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds
BETWEEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4)

# Figures of an engine → what they are. A gauge each, by model.
OF_ENGINE = {
    "running": "Requests that are computed",
    "waiting": "Requests that wait for a place",
    "waiting_tokens": "Tokens that wait, answers at their longest included",
    "pages_free": "Pages of state that hold nothing of a running request",
    "pages_total": "Pages of state",
    "reused_tokens": "Prompt tokens that were known from before",
    "preemptions": "Requests that were put back for want of pages",
    "cancelled": "Answers that were given up",
    "tokens_per_second": "Tokens written lately, of all requests together",
    "wait": "Seconds that an answer would wait for others if it were asked for now",
    "overhead": "Share of the steps that is scheduling, not computing",
}


class Metrics:
    """What a server counts, for one house."""

    def __init__(self, house: House) -> None:
        self.registry = CollectorRegistry()
        registry, by_model, by_route = self.registry, ["model"], ["route", "status"]
        self._requests = Counter(
            "fathom_requests",
            "Requests by route and status",
            by_route,
            registry=registry,
        )
        self._tokens = Counter(
            "fathom_tokens", "Tokens read and written", ["model", "kind"], registry=registry
        )
        self._first = Histogram(
            "fathom_first_token_seconds",
            "Seconds to the first token, waiting included",
            by_model,
            buckets=FIRST,
            registry=registry,
        )
        self._between = Histogram(
            "fathom_between_tokens_seconds",
            "Seconds between two tokens of an answer, their mean",
            by_model,
            buckets=BETWEEN,
            registry=registry,
        )
        self._ratio = Histogram(
            "fathom_measured_by_predicted",
            "What was measured over what was predicted for one answer alone",
            ["model", "figure"],
            buckets=RATIOS,
            registry=registry,
        )
        registry.register(Now(house))

    def request(self, route: str, status: int) -> None:
        """Count a request; `route` is the server's own pattern, never what was asked for."""
        self._requests.labels(route, str(status)).inc()

    def ended(self, model: str, event: Ended) -> None:
        """Note what one answer took beside what was predicted."""
        usage, measured, predicted = event.usage, event.measured, event.predicted
        self._tokens.labels(model, "read").inc(usage.prompt_tokens)
        self._tokens.labels(model, "written").inc(usage.completion_tokens)
        self._tokens.labels(model, "reused").inc(usage.reused_tokens)
        first, rate = measured.seconds_to_first_token, measured.decode_tokens_per_second
        if first is not None:
            self._first.labels(model).observe(first)
            if predicted.seconds_to_first_token:
                ratio = first / predicted.seconds_to_first_token
                self._ratio.labels(model, "seconds_to_first_token").observe(ratio)
        if rate:
            self._between.labels(model).observe(1 / rate)
            if predicted.decode_tokens_per_second:
                ratio = rate / predicted.decode_tokens_per_second
                self._ratio.labels(model, "decode_tokens_per_second").observe(ratio)

    def text(self) -> bytes:
        """Return everything as it is now."""
        return generate_latest(self.registry)


class Now(Collector):
    """What a house holds at the moment that it is asked."""

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Iterable[Metric]:
        """Yield gauges of the models in memory and of the queue at the door."""
        residents = self._house.residents
        yield GaugeMetricFamily("fathom_evictions", "Models evicted", residents.evictions)
        lost = sum(one.count for one in residents.losses.values())
        yield GaugeMetricFamily("fathom_workers_lost", "Processes lost lately", lost)
        admission = self._house.admission
        yield GaugeMetricFamily("fathom_requests_inside", "Asks on their way", admission.inside)
        yield GaugeMetricFamily("fathom_requests_refused", "Asks turned away", admission.refused)
        yield GaugeMetricFamily("fathom_memory_budget_bytes", "Bytes for models", residents.budget)
        planned = GaugeMetricFamily(
            "fathom_model_predicted_bytes", "Bytes that a model was given", labels=["model"]
        )
        held = GaugeMetricFamily(
            "fathom_model_resident_bytes", "Bytes that its process holds", labels=["model"]
        )
        for name, tenant in residents.tenants.items():
            planned.add_metric([name], tenant.allotment.total_bytes)
            held.add_metric([name], tenant.worker.resident_bytes())
        yield from (planned, held)
        for figure, meaning in OF_ENGINE.items():
            gauge = GaugeMetricFamily(f"fathom_{figure}", meaning, labels=["model"])
            for name, tenant in residents.tenants.items():
                if tenant.worker.figures is not None:
                    gauge.add_metric([name], float(tenant.worker.figures[figure]))
            yield gauge
