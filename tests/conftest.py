"""What all tests share: how many examples the property tests look at."""

from hypothesis import settings

# For fuzzing at length: pytest --hypothesis-profile=long. Where CI=true is set, hypothesis looks at
# the same examples every time, and so does this profile.
settings.register_profile("long", parent=settings.default, max_examples=10_000)
