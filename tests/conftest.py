"""Shared by all tests."""

from hypothesis import settings

# A busy machine makes a step wait for seconds: how long an example takes says nothing here.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
