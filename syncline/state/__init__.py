"""The state schema in PostgreSQL, the anchor of everything: links, cursors, leases, conflicts."""
