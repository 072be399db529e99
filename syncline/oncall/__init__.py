"""What a person on call asks and decides: dead letters, held records, the state of the whole, what a run came to.

Everything is read from Kafka and the state schema, and what is decided goes the services' own ways: no service is
asked, and none has to run.
"""
