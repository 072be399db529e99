"""Changing how many partitions the topics have: what lies by its key is moved to where its key then tells."""
