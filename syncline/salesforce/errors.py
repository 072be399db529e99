"""What only Salesforce has reactions for; everything else is in `syncline.contracts.errors`."""

from __future__ import annotations

from syncline.contracts.errors import SynclineError, Transient


class OutcomeUnknown(Transient):
    """The call may have been carried out: no answer came, or one that does not tell (5xx, cut off).

    Repeat it only if it is idempotent; before creating again, look for what it may have made.
    """


class LocatorExpired(SynclineError):
    """The rest of a query's result is gone: run the query again, from the last record that was kept."""
