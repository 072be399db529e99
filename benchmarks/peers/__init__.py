"""The mapper's second hop as others would have it: short programs, one a framework, started by `benchmarks.join`.

Each reads one topic of `mapped` commands and of results, keyed by parent, and publishes commands: those that wait for
nothing, and those whose parent is synced, with its id filled in. It says `serving` on standard output when its first
record comes. Its arguments: Kafka's address, the topic, the topic of commands, a directory for its state.
"""
