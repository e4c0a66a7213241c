"""The meeting of the processes that train one model, before TensorFlow connects them."""

import contextlib
import socket
import time
from collections.abc import Sequence

__all__ = ["wait_for_all"]

# Seconds between two looks for the others.
_AGAIN = 0.2


def wait_for_all(addresses: Sequence[str], number: int, seconds: float) -> None:
    """Wait until every worker listens at its address, before TensorFlow does.

    TensorFlow waits for an hour, and the process neither says anything meanwhile nor hears signals.
    Here each worker listens at its port until all can be reached, at the same time; then it leaves
    the port to TensorFlow, where those that come later in the same moment find that.

    Args:
        addresses: "host:port" of each worker.
        number: That of this one, from 0.
        seconds: How long to wait.

    Raises:
        OSError: The port is taken.
        TimeoutError: Somebody has not come; the message names them.
    """
    port, deadline = int(addresses[number].rpartition(":")[2]), time.monotonic() + seconds
    try:
        here = socket.create_server(("", port), backlog=len(addresses))
    except OSError as error:
        raise OSError(
            f"Worker {number} cannot listen at port {port}, which TF_CONFIG gives it: "
            f"{error.strerror}. End what is there, or choose another port on all workers."
        ) from None
    with here:
        while True:
            late = [i for i, a in enumerate(addresses) if i != number and not _answers(a)]
            if not late:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"{i} ({addresses[i]})" for i in late)
                raise TimeoutError(
                    f"Worker {names} has not come in {seconds:g} seconds. Start all workers that "
                    "TF_CONFIG names, or give them longer: wait_seconds="
                )
            time.sleep(_AGAIN)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
        return True
    return False
