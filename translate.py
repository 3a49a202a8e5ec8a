"""Translates pictures and videos; `python translate.py --help` describes the flags."""

from cyclegan_jax.__main__ import run

if __name__ == "__main__":
    run("translate", prog="translate.py")
