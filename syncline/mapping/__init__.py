"""Pipelines' mappings, compiled: from a source record's fields to a target record's; pure."""

from syncline.mapping.transformer import Transformed, Transformer

__all__ = ["Transformed", "Transformer"]
