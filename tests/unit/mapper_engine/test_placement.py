"""An assignment that cannot be worked on is told by name; one that can be in part is."""

from __future__ import annotations

import pytest
from faust.types import TP

from services.mapper.engine.placement import check, strays
from syncline.contracts.errors import Fatal
from syncline.runtime.placement import Misplaced


def test_partitions_that_somebody_added_are_told_by_name() -> None:
    check([TP("changes", 0)], {}, 1)
    with pytest.raises(Fatal, match=r"^changes got more partitions than the 1 of SYNCLINE_PARTITIONS: stop all"):
        check([TP("changes", 0), TP("changes", 1)], {}, 1)


def test_rows_that_lie_wrong_are_told_where_they_are_assigned() -> None:
    found = {"log": Misplaced(lambda key: key, 2)}
    found["log"].rows[1] = {b"k": 7}
    check([TP("log", 0), TP("changes", 1)], found, 2)
    with pytest.raises(Fatal, match="1 rows in partition 1 of log belong into others, if there are 2"):
        check([TP("log", 1)], found, 2)


def test_inputs_without_all_their_tables_are_left_out() -> None:
    logs = {"one", "other"}
    whole = {TP("changes", 0), TP("one", 0), TP("other", 0)}
    assert strays(whole, logs) == frozenset()
    lacking = {TP("changes", 1), TP("more", 1), TP("one", 1)}
    assert strays(whole | lacking, logs) == {TP("changes", 1), TP("more", 1)}
