"""A Ray cluster: the one in `RAY_ADDRESS`, or one started on this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading

from ..storage.outage import one_line
from .dependencies import require
from .errors import RunError


def connect() -> bool:
    """Connect this process to the cluster, unless it is connected already.

    Returns:
        Whether the caller is to end the connection, by `ray.shutdown`.

    Raises:
        MissingDependencyError: Ray is not installed.
        RunError: the cluster cannot be reached.
    """
    require("ray", purpose="--engine ray", extra="ray")
    import ray

    if ray.is_initialized():
        return False
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            os.environ.get("RAY_ADDRESS") or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(f"no Ray cluster can be reached: {one_line(error)}; check RAY_ADDRESS") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in the place
    return True
