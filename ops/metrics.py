"""The metrics of one role, made from `ops.metric_defs`. Created at 0, so that a first event is a rise.

Labels come from closed sets that are known when a role starts (`Domains`): never an org, a subject or a record.
`ops.hooks` and `ops.watched` feed them; `tests/unit/ops/test_metrics.py` says what is promised.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from ops.metric_defs import DEFINITIONS, FIXED, MetricDef

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """The label values of one role's process."""

    partitions: int = 0
    targets: Sequence[str] = ()
    producers: Sequence[str] = ()
    kinds: Sequence[str] = ()
    reasons: Sequence[str] = ()
    operations: Sequence[str] = ()
    problems: Sequence[str] = ()

    def of(self, label: str, role: str) -> Sequence[str]:
        """Return all values of `label`. Raises KeyError for a label nobody declared."""
        return {
            "role": (role,),
            "partition": [str(p) for p in range(self.partitions)],
            "target": self.targets,
            "producer": (*self.producers, "other"),
            "kind": self.kinds,
            "reason": self.reasons,
            "operation": self.operations,
            "problem": self.problems,
            **FIXED,
        }[label]


Instrument = Counter | Gauge | Histogram


@dataclass(slots=True)
class Metrics:
    """The instruments of one role, by name."""

    role: str
    domains: Domains
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _by_name: dict[str, Instrument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for d in DEFINITIONS:
            if not d.roles or self.role in d.roles:
                self._by_name[d.name] = self._make(d)

    def _make(self, d: MetricDef) -> Instrument:
        made: Instrument
        if d.kind == "counter":
            made = Counter(d.name, d.text, d.labels, registry=self.registry)
        elif d.kind == "gauge":
            made = Gauge(d.name, d.text, d.labels, registry=self.registry)
        else:
            made = Histogram(d.name, d.text, d.labels, registry=self.registry, buckets=SECONDS)
        if d.labels:
            for values in itertools.product(*(self.domains.of(label, self.role) for label in d.labels)):
                made.labels(*values)
        return made

    def add(self, name: str, amount: float = 1, *labels: str) -> None:
        """Raise a counter."""
        self._child(name, labels).inc(amount)

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        self._child(name, labels).observe(seconds)

    def _child(self, name: str, labels: tuple[str, ...]):  # type: ignore[no-untyped-def]
        made = self._by_name[name]
        return made.labels(*labels) if labels else made

    def clear(self, label: str, *, keep: Collection[str]) -> None:
        """Set each gauge with `label` to 0 for every value of it that is not in `keep`."""
        for d in DEFINITIONS:
            if d.kind != "gauge" or label not in d.labels or d.name not in self._by_name:
                continue
            at = d.labels.index(label)
            for values in itertools.product(*(self.domains.of(name, self.role) for name in d.labels)):
                if values[at] not in keep:
                    self.put(d.name, 0, *values)

    def serve(self, host: str, port: int) -> int:
        """Serve `/metrics` on `host`:`port` from a thread of its own; return the port, free if `port` is 0."""
        server, _ = start_http_server(port, addr=host, registry=self.registry)
        return int(server.server_port)

    def ready(self) -> None:
        """Say that the role can work."""
        self.put("ebbtide_ready", 1, self.role)
