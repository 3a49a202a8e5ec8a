"""Distances between two sets of features: FID and KID.

Shapes use N, M (images) and D (features). Everything is float64 on the host.
"""

from typing import NamedTuple

import numpy as np


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """The Frechet distance between Gaussians fitted to two sets (Heusel et al. 2017).

    |m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)), with unbiased covariances.

    Args:
      x: [N, D], N >= 2.
      y: [M, D], likewise.
    """
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return frechet_of_gaussians(mean_x, cov_x, mean_y, cov_y)


def frechet_of_gaussians(
    mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray
) -> float:
    """Like `frechet`, from means [D] and covariances [D, D]."""
    cov_x, cov_y = np.atleast_2d(cov_x), np.atleast_2d(cov_y)
    # The trace of the root of C_x C_y is that of the root of the symmetric
    # C_x^(1/2) C_y C_x^(1/2), whose eigenvalues are real and not negative, unlike those
    # of a general matrix root for so few images.
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov_y @ root)
    trace = np.sum(np.sqrt(np.maximum(inner, 0.0)))
    offset = np.sum(np.square(mean_x - mean_y))
    return float(offset + np.trace(cov_x) + np.trace(cov_y) - 2.0 * trace)


class Kid(NamedTuple):
    """The kernel inception distance, and the standard error of the estimate."""

    value: float
    standard_error: float


def kid(x: np.ndarray, y: np.ndarray) -> Kid:
    """The kernel inception distance (Binkowski et al. 2018).

    The unbiased estimate of the squared maximum mean discrepancy with the kernel
    (x.y / D + 1)^3, over all images at once instead of random subsets; its standard
    error by the jackknife, leaving out one image at a time (too large by about half
    if both sets have the same distribution, so conservative).

    Args:
      x: [N, D], N >= 3.
      y: [M, D], likewise.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n, m, size = len(x), len(y), x.shape[1]

    def kernel(a, b):
        return (a @ b.T / size + 1.0) ** 3

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    np.fill_diagonal(xx, 0.0)
    np.fill_diagonal(yy, 0.0)
    sum_xx, sum_yy, sum_xy = xx.sum(), yy.sum(), xy.sum()

    def estimate(s_xx, s_yy, s_xy, n, m):
        return s_xx / (n * (n - 1)) + s_yy / (m * (m - 1)) - 2.0 * s_xy / (n * m)

    value = estimate(sum_xx, sum_yy, sum_xy, n, m)
    without_x = estimate(
        sum_xx - 2.0 * xx.sum(axis=1), sum_yy, sum_xy - xy.sum(axis=1), n - 1, m
    )
    without_y = estimate(
        sum_xx, sum_yy - 2.0 * yy.sum(axis=1), sum_xy - xy.sum(axis=0), n, m - 1
    )
    variance = sum(
        (k - 1) / k * np.sum(np.square(rest - rest.mean()))
        for k, rest in ((n, without_x), (m, without_y))
    )
    return Kid(float(value), float(np.sqrt(variance)))
