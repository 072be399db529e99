"""One API server for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.k8s.api_server import ApiServer, api_server, prepare


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("cluster")) as made:
        prepare(made)
        yield made
