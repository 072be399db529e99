"""The company's own customer database in PostgreSQL: the shipped schema, its change capture, reading records."""
