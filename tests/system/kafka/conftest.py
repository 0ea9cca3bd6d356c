"""Topics of a test's own, and every test of the columnar client with and without the compiled kernel."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.cluster.endpoints import Endpoints
from bench.waiting import wait_until
from system.kafka.kernel import KERNEL, Kernel
from system.kafka.portable_kernel import PortableKernel

MakeTopic = Callable[..., str]


@pytest.fixture(params=["installed", "ctypes"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """What the install has, which is the compiled one where there is a compiler; and the one that needs none."""
    return KERNEL if request.param == "installed" else PortableKernel()


@pytest.fixture
def connection(cluster: Endpoints) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": cluster.bootstrap, **cluster.client}


@pytest.fixture(scope="session")
def admin(cluster: Endpoints) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster.bootstrap, **cluster.client, "log_level": 0})


@pytest.fixture
def make_topic(admin: AdminClient, prefix: str) -> MakeTopic:
    """`make_topic("name", partitions=4)`: the full name of a new topic that has its leaders."""

    def make(name: str, *, partitions: int = 1) -> str:
        topic = prefix + name
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        wait_until(lambda: topic in admin.list_topics(timeout=5).topics, deadline_s=10, why=f"topic {topic}")
        return topic

    return make
