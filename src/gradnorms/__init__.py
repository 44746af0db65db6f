"""Gradient norms and gradient health that are right on every release of PyTorch.

Needs torch and nothing else.
"""

from gradnorms.collector import (
    DEFAULT_EXPLODING_THRESHOLD,
    DEFAULT_VANISHING_THRESHOLD,
    DualGradientStats,
    GradientHealthMetrics,
    GradientHealthStats,
    SeedGradientCollector,
    collect_dual_gradients_async,
    collect_host_gradients_async,
    collect_seed_gradients,
    collect_seed_gradients_async,
    collect_seed_gradients_only_async,
    materialize_dual_grad_stats,
    materialize_grad_stats,
)
from gradnorms.norms import NormError, compute_norms
from gradnorms.paths import active_path, force_path, reset_paths

__all__ = [
    "DEFAULT_EXPLODING_THRESHOLD",
    "DEFAULT_VANISHING_THRESHOLD",
    "DualGradientStats",
    "GradientHealthMetrics",
    "GradientHealthStats",
    "NormError",
    "SeedGradientCollector",
    "active_path",
    "collect_dual_gradients_async",
    "collect_host_gradients_async",
    "collect_seed_gradients",
    "collect_seed_gradients_async",
    "collect_seed_gradients_only_async",
    "compute_norms",
    "force_path",
    "materialize_dual_grad_stats",
    "materialize_grad_stats",
    "reset_paths",
]
