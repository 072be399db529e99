"""Driving records through once more: from the topics (replay), from the sources (resync), from the links (rebuild)."""
