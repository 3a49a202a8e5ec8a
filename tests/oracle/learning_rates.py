"""Learning-rate multipliers, by running PyTorch's schedulers as published."""

import numpy as np
import torch
from torch.optim import lr_scheduler


def multipliers(
    policy: str,
    position: str = "end",
    epochs: int = 100,
    decay_epochs: int = 100,
    step_every: int = 50,
    start_epoch: int = 1,
) -> np.ndarray:
    """The multiplier in force *during* each of the epochs, as float64.

    Args:
      policy: "linear", "lua_linear" (the Torch7 original), "step" or "cosine".
      position: whether `scheduler.step()` is called at the "end" of an epoch
        (before July 2020 and since July 2025) or at its "start" (in between).
      epochs: with the initial learning rate, for the linear policies; half a period
        for the cosine, which rises again afterwards.
      decay_epochs: follow after `epochs`.
      step_every: epochs between two divisions by ten.
      start_epoch: 1, or the epoch at which training was taken up again.

    Returns:
      An array whose element 0 belongs to `start_epoch`.
    """
    count = epochs + decay_epochs - start_epoch + 1
    if policy == "lua_linear":
        return _lua(epochs, decay_epochs)[start_epoch - 1 :]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)

    def linear(step: int) -> float:
        return 1.0 - max(0, step + start_epoch - epochs) / float(decay_epochs + 1)

    scheduler = {
        "linear": lambda: lr_scheduler.LambdaLR(optimizer, linear),
        "step": lambda: lr_scheduler.StepLR(optimizer, step_every, gamma=0.1),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
    }[policy]()
    optimizer.step()  # Spares a warning about the order of the two kinds of step.
    used = []
    for _ in range(count):
        if position == "start":
            scheduler.step()
        used.append(optimizer.param_groups[0]["lr"])
        if position == "end":
            scheduler.step()
    return np.array(used)


def _lua(epochs: int, decay_epochs: int) -> np.ndarray:
    """After each epoch later than `epochs`, a constant is subtracted."""
    rate, used = 1.0, []
    for epoch in range(1, epochs + decay_epochs + 1):
        used.append(rate)
        if epoch > epochs:
            rate -= 1.0 / decay_epochs
    return np.array(used)
