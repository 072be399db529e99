"""A whole stack on one machine from packages alone: real Kafka, real PostgreSQL, child processes that end with us."""
