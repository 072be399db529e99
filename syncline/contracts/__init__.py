"""What crosses a border between services: events, commands, results, topics, errors, and the one codec."""
