"""What all tests share: how many examples property tests look at, and signals that are heeded."""

import signal

from hypothesis import settings

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
