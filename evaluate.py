"""Evaluates a run; `python evaluate.py --help` describes the flags."""

from cyclegan_jax.__main__ import run

if __name__ == "__main__":
    run("evaluate", prog="evaluate.py")
