"""The packages: those of cyclegan_jax/, and configs/ as cyclegan_jax.configs."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["cyclegan_jax*"]), "cyclegan_jax.configs"],
    package_dir={"cyclegan_jax.configs": "configs"},
)
