"""Reads changes from the sources and publishes one change event per record change."""
