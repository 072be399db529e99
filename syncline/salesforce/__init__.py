"""Salesforce's REST API: a protocol without I/O, and a thin client on top.

`protocol`, `remedies`, `auth`, `soql`, `pages`, `collections`, `replication` and `versions` are pure: requests out,
replies in. `client` holds the one retry loop and the shared session; `transport` is all that knows of aiohttp.
"""
