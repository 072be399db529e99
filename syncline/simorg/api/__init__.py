"""The org over HTTP: thin handlers, each a translation of a request into calls of the org."""
