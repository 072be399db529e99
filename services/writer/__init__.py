"""The writer: compares commands with what the target is known to hold, and sends the difference."""
