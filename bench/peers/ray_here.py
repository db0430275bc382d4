"""Ray on this machine alone, for the scripts beside it: take `ray` from here, for it reads these settings when it is imported."""

import contextlib
import os
import secrets
import sys
import tempfile

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # "no cluster", also on Linux: every server listens on loopback only
    RAY_AUTH_MODE="token",  # its default, without the file in the home folder
    RAY_AUTH_TOKEN=secrets.token_hex(32),
    RAY_raylet_start_wait_time_s="45",
)

import ray  # noqa: E402

__all__ = ["answers", "ray", "started"]

# Ray gives its agents, which load half of Python first, 15 s that cannot be changed: on a busy machine not always enough.
ATTEMPTS = 4


def answers():
    """What prints a line on the standard output. Ray's own lines, such as that there are many workers, go to the error output from now on."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return lambda line: print(line, file=ours, flush=True)


@contextlib.contextmanager
def started(num_cpus=2):
    """Ray, until the block ends; its logs go with it. So many processes start at a time; actors of `num_cpus=0` may be more."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        for attempt in range(ATTEMPTS):
            try:
                ray.init(num_cpus=num_cpus, object_store_memory=2 << 30, _temp_dir=folder, **quiet)
                break
            except Exception as error:
                if attempt == ATTEMPTS - 1:
                    raise
                print(f"Ray did not start, which is tried again: {error}", file=sys.stderr)
        try:
            yield
        finally:
            ray.shutdown()
