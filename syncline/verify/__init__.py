"""Whether both live systems are equal: read past every topic and table, told with its evidence, drift repaired.

`digest`, `pairing`, `compare`, `reasons` and `report` are pure; `sides` reads the systems, `look` puts pairs together,
`run` is the order of it all.
"""
