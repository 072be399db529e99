"""The hub as a target: a batch is a handful of statements in one transaction, however its rows differ.

`sql` is pure; `target` is what the database says about an object; `batch` is one write's transaction.
"""

from services.writer.sinks.postgres.sink import PostgresSink, postgres_sink

__all__ = ["PostgresSink", "postgres_sink"]
