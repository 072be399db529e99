"""Every overlay and every choice of components: renders, is valid for each Kubernetes in support, obeys the policy."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.k8s import mistakes, policy, schemas
from tests.k8s.parts import SUPPORTED
from tests.k8s.rendering import COMPONENTS, DEPLOY, choices, combined, documents, everything, text

EVERYTHING = everything()
PRODUCTION = DEPLOY / "overlays" / "production"


@pytest.mark.parametrize("folder", EVERYTHING.values(), ids=EVERYTHING)
def test_policy_is_obeyed(folder: Path) -> None:
    assert policy.faults(documents(folder)) == []


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("folder", EVERYTHING.values(), ids=EVERYTHING)
def test_every_field_is_one_of_the_release(folder: Path, version: str) -> None:
    own = [each for each in documents(folder) if schemas.own(each)]
    assert len(own) > 15
    assert [fault for each in own for fault in schemas.faults(each, version)] == []


def test_every_component_is_in_some_choice() -> None:
    assert {each for chosen in choices() for each in chosen} == set(COMPONENTS)


def test_rendering_is_repeatable() -> None:
    assert text(PRODUCTION) == text.__wrapped__(PRODUCTION)


def test_a_change_of_the_mapping_rolls_out_all_three_stages() -> None:
    """By the name: the ConfigMap of another mapping is another one."""
    names = {
        policy.name(workload): volume["configMap"]["name"]
        for workload, template in policy.pods(documents(PRODUCTION))
        for volume in template["spec"]["volumes"]
        if "configMap" in volume
    }
    assert len(names) == 6
    assert len(set(names.values())) == 1
    there = {policy.name(workload): pod for workload, pod in policy.pods(documents(DEPLOY / "overlays" / "local"))}
    local = there["StatefulSet mapper"]["spec"]["volumes"][0]["configMap"]["name"]
    assert local not in names.values()
    assert local.startswith("syncline-pipelines-")


@pytest.mark.parametrize("mistake", mistakes.POLICY, ids=lambda each: each.name)
def test_policy_finds_a_seeded_mistake(mistake: mistakes.Mistake) -> None:
    broken = copy.deepcopy(documents(PRODUCTION))
    mistake.make(broken)
    assert [fault for fault in policy.faults(broken) if mistake.told in fault] != []


def test_every_rule_of_the_policy_has_a_seeded_mistake() -> None:
    found = set()
    for mistake in mistakes.POLICY:
        broken = copy.deepcopy(documents(PRODUCTION))
        mistake.make(broken)
        found |= {rule for rule in policy.RULES if any(mistake.told in fault for fault in rule(broken))}
    assert found == set(policy.RULES)


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("mistake", mistakes.SCHEMA, ids=lambda each: each.name)
def test_the_schemas_find_a_seeded_mistake(mistake: mistakes.Mistake, version: str) -> None:
    broken = copy.deepcopy(documents(PRODUCTION))
    mistake.make(broken)
    faults = [fault for each in broken if schemas.own(each) for fault in schemas.faults(each, version)]
    assert len(faults) == 1
    assert mistake.told in faults[0]


def test_a_resource_that_is_not_there_does_not_render(tmp_path: Path) -> None:
    folder = combined(("no-such-component",))
    with pytest.raises(RuntimeError, match="no-such-component"):
        text(folder)
