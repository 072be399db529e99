"""The demo: both systems filled, synced both ways through edits and a crash, and compared field by field."""
