"""The command `syncline`."""
