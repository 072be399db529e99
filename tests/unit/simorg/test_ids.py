from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.simorg.ids import DIGITS, canonical, sequence, suffix


@pytest.mark.parametrize(
    "id18",
    ["0015e00000Ab1CdAAJ", "0035e00000KdXyZAAV", "0055e000001AbCdAAK", "00D5e0000009zXyEAI", "7505e00000Ab1CdAAJ"],
)
def test_suffix_is_the_one_that_salesforce_prints(id18: str) -> None:
    assert suffix(id18[:15]) == id18[15:]


def test_both_lengths_mean_the_same_record() -> None:
    assert canonical("0015e00000Ab1Cd") == canonical("0015e00000Ab1CdAAJ") == "0015e00000Ab1CdAAJ"


@pytest.mark.parametrize(
    "text", ["", "001", "0015e00000Ab1CdAAK", "0015E00000AB1CDAAJ", "0015e00000Ab1C!", "0015e00000Ab1CdAA", "x" * 19]
)
def test_anything_else_is_no_id(text: str) -> None:
    assert canonical(text) is None


@given(st.text(alphabet=DIGITS, min_size=15, max_size=15))
def test_ids_that_differ_in_case_alone_have_different_suffixes(id15: str) -> None:
    if id15.swapcase() != id15:
        assert suffix(id15).lower() != suffix(id15.swapcase()).lower()


def test_issued_ids_are_well_formed_different_and_sorted() -> None:
    ids = list(islice(sequence("001"), 5_000))
    assert ids == sorted(set(ids))
    assert all(canonical(id18) == id18 and id18.startswith("001") for id18 in ids)
