"""Trains CycleGAN; `python train.py --help` describes the flags."""

from cyclegan_jax.__main__ import run

if __name__ == "__main__":
    run("train", prog="train.py")
