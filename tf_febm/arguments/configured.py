"""Settings that are kept under their names, and those that can be given once."""

import inspect
from typing import Any

__all__ = ["Configured", "Settled"]


class Configured:
    """Settings as a config; each argument of the constructor is kept under its name."""

    def get_config(self) -> dict:
        """Return the constructor's arguments, and those of Keras where it is a layer."""
        parameters = inspect.signature(type(self)).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        of_keras: dict = getattr(super(), "get_config", dict)()
        return {**of_keras, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """Make one from the result of `get_config`."""
        return getattr(super(), "from_config", lambda config: cls(**config))(config)

    def __repr__(self) -> str:
        # As they were given, also those that a config holds in another form.
        config = Configured.get_config(self)
        settings = ", ".join(f"{name}={value!r}" for name, value in config.items())
        return f"{type(self).__name__}({settings})"


class Settled:
    """An attribute that can be given once: what was made with it would not follow a new value.

    Args:
        cure: What to do for another value; it ends the message.
    """

    def __init__(self, cure: str):
        self._cure = cure

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__} has no {self._name} yet.") from None

    def __set__(self, instance, value):
        present = instance.__dict__.setdefault(self._name, value)
        if present != value:
            raise AttributeError(
                f"{self._name} of a {type(instance).__name__} is settled when it is made, at "
                f"{present!r}; received {value!r}. {self._cure}"
            )
