"""What the project measured, or has to assume, of which the production form is sized.

Of a figure that a document has, a test compares the two.
"""

from __future__ import annotations

GIB, TIB, MIB = 1 << 30, 1 << 40, 1 << 20

# Measured

EVENT_CPU = 156e-6
"""Seconds of processor an event, all sinks, on workers of an engine, with fewer than two events a
row, the dearest there is (docs/flink.md, on paper)."""
ROW_CPU = 2 * EVENT_CPU
"""Seconds of processor a row: what its two events cost, as if all of it came when it closes."""
BUSY = 0.6
"""Share of a vCPU that is planned to be busy; the rest takes what comes at once (docs/flink.md)."""
CLOSING_SECONDS = 2.15
"""From when a window may close to its predictions in BigQuery, 99 of 100 windows, 2,000 events/s,
on an engine with workers of its own (Flink, docs/flink.md); Dataflow's nobody has measured."""
RECORD_BYTES = 323
"""Of a record in Kafka (docs/flink.md)."""
BATCH_BYTES = 57
"""Of an event, or a row, that goes from one step to another (docs/rendimiento.md)."""
NEW_BYTES, ARCHIVED_BYTES = 117, 26
"""Of a record in the archive, before its files are reunited and after (docs/lo_que_crece.md)."""
ARCHIVE_FILES_A_DAY = 79_000
"""That each source leaves (docs/lo_que_crece.md)."""
WORKER_GIB, PROCESS_GIB = 1.0, 0.6
"""Memory of a worker, and of each of its Python processes, one a vCPU (docs/rendimiento.md)."""

# Documented

KAFKA_MB_A_VCPU, KAFKA_BUSY, KAFKA_READ_SHARE = 20.0, 0.5, 0.25
"""Of Google's own rule: MB/s that a vCPU writes, how busy it is to be, and what a byte read costs
of one written: https://cloud.google.com/managed-service-for-apache-kafka/docs/plan-cluster-size."""
KAFKA_REPLICAS = 3
KAFKA_LEAST_VCPUS = 3
KAFKA_GIB_A_VCPU = 4
KAFKA_LOCAL_GIB_A_VCPU = 100
DCU_A_VCPU, DCU_A_GIB = 0.6, 0.1
DATAFLOW_DISK_GIB = 30
"""Of a worker, with Streaming Engine."""
LEAST_QUERY_BYTES = 10 * MIB
"""That BigQuery counts for a query, however little it reads."""
ACTIVE_MONTHS = 3
"""After so long without a change BigQuery asks less for a partition."""

# Assumed

OLDER_VERSIONS_DAYS = 7
"""How long the platform's bucket keeps what was replaced."""
PANELS = {"operaciones": (13, 10.0), "negocio": (13, 60.0)}
"""Of each of Grafana's boards, its panels and every how many seconds it asks again."""
BOARD_HOURS = 176
"""Of a month that each board is open: eight a day, on working days."""
TRAININGS, TRAINING_HOURS = 4, 0.25
"""In a month, and how long one has its machine."""
IMAGES_GIB = 3
LOGS_GIB_A_WORKER = 1
"""In a month."""
METRICS, METRIC_BYTES = 3, 80
"""Series that logs are counted by, and of one of their points, one a minute."""
ALERTS = 7
RUNS_A_DAY, RUN_SECONDS = 24 + 96 + 1, 60
"""Of the scheduled commands: ``monitor`` each hour, ``audit`` each quarter, ``archive compact``."""
SCHEDULES, RUN_VCPUS, RUN_GIB = 3, 2, 4
WATCHER_VCPUS, WATCHER_GIB = 1, 2
"""Of who sends the streaming job and watches it, always."""
