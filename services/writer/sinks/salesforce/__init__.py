"""Salesforce as a target. 200 rows a call, one call after the other."""

from services.writer.sinks.salesforce.sink import SalesforceSink, salesforce_sink

__all__ = ["SalesforceSink", "salesforce_sink"]
