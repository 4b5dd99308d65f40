"""How long a property's example takes says more about the machine than about the code: no time limits."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
