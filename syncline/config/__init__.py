"""Configuration: pipelines.yaml, the environment, and the checks that run before anything else."""
