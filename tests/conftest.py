"""What all tests share: where they run, how many examples they look at, signals that are heeded."""

import signal
import sys

from hypothesis import settings

E2E_RUNS = sys.platform == "linux"
# These plant faults that only Linux has: /proc, /dev/full, prctl, limits, process groups.
collect_ignore_glob = [] if E2E_RUNS else ["e2e/test_*.py"]


def pytest_report_header() -> list[str]:
    """Say what is left out, and why."""
    return [] if E2E_RUNS else ["tests/e2e: left out, since the faults they plant are Linux's"]


# For fuzzing at length: pytest --hypothesis-profile=long. Where CI=true is set, hypothesis looks at
# the same examples every time, and so does this profile.
settings.register_profile("long", parent=settings.default, max_examples=10_000)

# What starts a command in the background, such as nohup, has some signals ignored; every process
# inherits that, and tests send them.
for _name, _handler in (
    ("SIGINT", signal.default_int_handler),
    ("SIGTERM", signal.SIG_DFL),
    ("SIGHUP", signal.SIG_DFL),
):
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)
