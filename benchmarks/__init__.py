"""How many records a second each stage does, as a ratio to a bare aiokafka loop in the same run."""
