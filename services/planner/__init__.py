"""What a replay or a new mapping would write, found out by the mapper's and the writer's own parts, with nothing sent.

No service: a command that puts the parts of two of them together, which is why they need not know each other.
"""
