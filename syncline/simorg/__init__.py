"""A simulated Salesforce org, as strict as the real one: a library, and a process of its own.

async with serve(Org(Schema.standard(DEMO))) as url: ...
"""

from __future__ import annotations

from syncline.simorg.faults import Fault
from syncline.simorg.metadata import DEMO, Schema
from syncline.simorg.org import Options, Org
from syncline.simorg.server import serve

__all__ = ["DEMO", "Fault", "Options", "Org", "Schema", "serve"]
