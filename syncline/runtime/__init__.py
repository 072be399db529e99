"""What every service needs to run: Kafka clients, health and metrics, logs, backoff, shutdown."""
