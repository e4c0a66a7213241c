"""Processes that wait for one another before TensorFlow does, as threads."""

import concurrent.futures
import socket

import pytest

from tf_febm import rendezvous


@pytest.fixture
def addresses():
    """Three addresses of loopback that nobody listens at."""
    sockets = [socket.create_server(("", 0)) for _ in range(3)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


def test_all_wait_for_one_another(addresses):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:

        def arrive(number):
            rendezvous.wait_for_all(addresses, number, 30.0)
            # As TensorFlow does: who comes later in the same moment finds it there.
            return socket.create_server(("", int(addresses[number].split(":")[1])))

        found = list(pool.map(arrive, range(3)))
    for each in found:
        each.close()
    rendezvous.wait_for_all(addresses[:1], 0, 0.0)


def test_a_worker_that_never_comes_is_named(addresses):
    with socket.create_server(("", int(addresses[1].split(":")[1]))):
        late = rf"Worker 2 \({addresses[2]}\) has not come in 0.5 seconds.*wait_seconds="
        with pytest.raises(TimeoutError, match=late):
            rendezvous.wait_for_all(addresses, 0, 0.5)
        with pytest.raises(OSError, match="Worker 1 cannot listen at port .* in use"):
            rendezvous.wait_for_all(addresses, 1, 0.5)
