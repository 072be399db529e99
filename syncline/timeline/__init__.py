"""What happened to one record: its events, holds, commands, conflicts and results, gathered on demand.

Nothing is stored for it: the topics and the state schema hold the story already.
"""
