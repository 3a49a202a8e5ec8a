"""CycleGAN in pure JAX: exact, fast, readable, reproducible."""

__all__ = ["Translator"]


def __getattr__(name: str):
    """Imports what users need when they ask for it: importing JAX takes seconds."""
    if name == "Translator":
        from cyclegan_jax.translation.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
