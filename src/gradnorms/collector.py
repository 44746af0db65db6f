"""Collect the health of gradients: norms, vanishing and exploding shares, zeros, NaN, infinity.

The asynchronous functions queue their work on the gradients' devices and read nothing back; what
happens to the gradients afterwards (an optimizer step, zeroing) does not change their result. The
others read everything back in one transfer. Parameters whose ``.grad`` is None are left out.
Gradients may be of any real floating or complex dtype, dense or sparse, contiguous or not, of any
size, on several devices at once. Of distributed gradients (DTensor) the whole is measured, on
every rank of their mesh, all of which must make the same call.

Norms are float64, so that the squares of 1e20 stay finite; on a device without float64 (MPS) they
are float32. A sparse gradient that may hold an index twice is coalesced first, and that waits for
an accelerator even in the asynchronous functions: PyTorch offers no other way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from gradnorms.gradients import (
    Gradients,
    count_nonfinite,
    find_gradients,
    measure_and_count,
    measure_norms,
    on_host,
    read_back,
)
from gradnorms.health import (
    DualGradientStats,
    GradientHealthMetrics,
    GradientHealthStats,
    assess,
    combine_norms,
    measure_spread,
)
from gradnorms.paths import accumulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

__all__ = [
    "DEFAULT_EXPLODING_THRESHOLD",
    "DEFAULT_VANISHING_THRESHOLD",
    "DualGradientStats",
    "GradientHealthMetrics",
    "GradientHealthStats",
    "SeedGradientCollector",
    "collect_dual_gradients_async",
    "collect_host_gradients_async",
    "collect_seed_gradients",
    "collect_seed_gradients_async",
    "collect_seed_gradients_only_async",
    "materialize_dual_grad_stats",
    "materialize_grad_stats",
]

DEFAULT_VANISHING_THRESHOLD = 1e-7
# Ten times the default training clip norm of 1.0.
DEFAULT_EXPLODING_THRESHOLD = 10.0


class SeedGradientCollector:
    """Collects the health of gradients. Keeps nothing but its thresholds.

    Args:
        vanishing_threshold: A tensor vanishes when its L2 norm is below it.
        exploding_threshold: A tensor explodes when its L2 norm is above it or not finite.
    """

    __slots__ = ("exploding_threshold", "vanishing_threshold")

    def __init__(
        self,
        vanishing_threshold: float = DEFAULT_VANISHING_THRESHOLD,
        exploding_threshold: float = DEFAULT_EXPLODING_THRESHOLD,
    ) -> None:
        self.vanishing_threshold: float = vanishing_threshold
        self.exploding_threshold: float = exploding_threshold

    def collect(self, parameters: Iterable[Tensor]) -> GradientHealthStats:
        """Collect the health of the parameters' gradients, with one synchronisation.

        Args:
            parameters: Parameters, or a single one. They are gone through once, so a generator
                will do.
        """
        return materialize_grad_stats(self.collect_async(parameters))

    @torch.no_grad()
    def collect_async(self, parameters: Iterable[Tensor]) -> dict[str, Any]:
        """Queue what `collect` does, without synchronisation.

        Args:
            parameters: As for `collect`.

        Returns:
            What `materialize_grad_stats` takes: `_empty` (bool) and `_n_grads` (int), and tensors
            on the gradients' device (of several, the first that is not the CPU):
            `_total_squared_norm` (float64, 0-d), `_all_norms` (float64, of shape (n_grads,), in
            the parameters' order), `_n_vanishing` and `_n_exploding` (int64, 0-d).
        """
        return _queue_stats(measure_norms(find_gradients(parameters).stored), self)


def materialize_grad_stats(async_stats: Mapping[str, Any]) -> GradientHealthStats:
    """Read back what `SeedGradientCollector.collect_async` queued, with one synchronisation.

    Args:
        async_stats: What it returned.
    """
    if async_stats["_empty"]:
        return assess(norm=0.0, tensors=0, vanishing=0, exploding=0)
    return _read_stats(async_stats)[0]


@overload
def collect_seed_gradients(
    seed_parameters: Iterable[Tensor],
    vanishing_threshold: float = ...,
    exploding_threshold: float = ...,
    return_enhanced: Literal[False] = ...,
) -> GradientHealthStats: ...
@overload
def collect_seed_gradients(
    seed_parameters: Iterable[Tensor],
    vanishing_threshold: float = ...,
    exploding_threshold: float = ...,
    *,
    return_enhanced: Literal[True],
) -> GradientHealthMetrics: ...
@overload
def collect_seed_gradients(
    seed_parameters: Iterable[Tensor],
    vanishing_threshold: float = ...,
    exploding_threshold: float = ...,
    return_enhanced: bool = ...,  # noqa: FBT001 - the telemetry module's signature
) -> GradientHealthStats | GradientHealthMetrics: ...
def collect_seed_gradients(
    seed_parameters: Iterable[Tensor],
    vanishing_threshold: float = DEFAULT_VANISHING_THRESHOLD,
    exploding_threshold: float = DEFAULT_EXPLODING_THRESHOLD,
    return_enhanced: bool = False,  # noqa: FBT001, FBT002
) -> GradientHealthStats | GradientHealthMetrics:
    """Collect the health of the parameters' gradients, with one synchronisation.

    Args:
        seed_parameters: As for `SeedGradientCollector.collect`.
        vanishing_threshold: A tensor vanishes when its L2 norm is below it.
        exploding_threshold: A tensor explodes when its L2 norm is above it or not finite.
        return_enhanced: Return a GradientHealthMetrics, which looks at every element a second
            time, instead of a dict.
    """
    collector = SeedGradientCollector(vanishing_threshold, exploding_threshold)
    if return_enhanced:
        return _collect_metrics(find_gradients(seed_parameters), collector)
    return collector.collect(seed_parameters)


def collect_seed_gradients_async(
    seed_parameters: Iterable[Tensor],
    vanishing_threshold: float = DEFAULT_VANISHING_THRESHOLD,
    exploding_threshold: float = DEFAULT_EXPLODING_THRESHOLD,
) -> dict[str, Any]:
    """Queue what `collect_seed_gradients` does, without synchronisation.

    Args:
        seed_parameters: As for `SeedGradientCollector.collect`.
        vanishing_threshold: A tensor vanishes when its L2 norm is below it.
        exploding_threshold: A tensor explodes when its L2 norm is above it or not finite.

    Returns:
        See `SeedGradientCollector.collect_async`.
    """
    collector = SeedGradientCollector(vanishing_threshold, exploding_threshold)
    return collector.collect_async(seed_parameters)


def collect_host_gradients_async(
    host_parameters: Iterable[Tensor], device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """Queue the squared norm of the host's gradients, without synchronisation.

    Args:
        host_parameters: As for `SeedGradientCollector.collect`.
        device: Where the zero is made if there are no gradients; else the gradients tell.

    Returns:
        `_host_squared_sum`: 0-d, float64 (so a norm up to 1e154 does not overflow; float32 and
        1e19 on a device without float64), and `_host_param_count`: the number of elements (int)
        of the parameters that have a gradient.
    """
    squared_sum, count = _queue_squared_sum(host_parameters, device)
    return {"_host_squared_sum": squared_sum, "_host_param_count": count}


def collect_seed_gradients_only_async(
    seed_parameters: Iterable[Tensor], device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """Queue the squared norm of the seed's gradients, without synchronisation.

    Args:
        seed_parameters: As for `SeedGradientCollector.collect`.
        device: As for `collect_host_gradients_async`.

    Returns:
        `_seed_squared_sum` and `_seed_param_count`, as `collect_host_gradients_async` has them.
    """
    squared_sum, count = _queue_squared_sum(seed_parameters, device)
    return {"_seed_squared_sum": squared_sum, "_seed_param_count": count}


def collect_dual_gradients_async(
    host_parameters: Iterable[Tensor],
    seed_parameters: Iterable[Tensor],
    device: str | torch.device = "cpu",
) -> dict[str, Any]:
    """Queue the squared norms of the host's and the seed's gradients, without synchronisation.

    Args:
        host_parameters: As for `SeedGradientCollector.collect`.
        seed_parameters: As for `SeedGradientCollector.collect`.
        device: As for `collect_host_gradients_async`.

    Returns:
        What `materialize_dual_grad_stats` takes: the entries of `collect_host_gradients_async`
        and of `collect_seed_gradients_only_async`, which may just as well be merged later.
    """
    return {
        **collect_host_gradients_async(host_parameters, device),
        **collect_seed_gradients_only_async(seed_parameters, device),
    }


def materialize_dual_grad_stats(async_stats: Mapping[str, Any]) -> DualGradientStats:
    """Read back what `collect_dual_gradients_async` queued, with one synchronisation.

    Args:
        async_stats: What it returned.
    """
    sums = [async_stats["_host_squared_sum"], async_stats["_seed_squared_sum"]]
    (host,), (seed,) = read_back(sums)
    return DualGradientStats(
        host_grad_norm=math.sqrt(host),
        host_param_count=async_stats["_host_param_count"],
        seed_grad_norm=math.sqrt(seed),
        seed_param_count=async_stats["_seed_param_count"],
    )


def _queue_stats(norms: Tensor, thresholds: SeedGradientCollector) -> dict[str, Any]:
    exploding = (norms > thresholds.exploding_threshold) | ~torch.isfinite(norms)
    return {
        "_empty": not len(norms),
        "_n_grads": len(norms),
        "_total_squared_norm": norms.square().sum(),
        "_all_norms": norms,
        "_n_vanishing": (norms < thresholds.vanishing_threshold).sum(),
        "_n_exploding": exploding.sum(),
    }


def _read_stats(
    queued: Mapping[str, Any], more: Sequence[Tensor] = ()
) -> tuple[GradientHealthStats, list[float], list[list[Any]]]:
    """Read back what `_queue_stats` queued, and more along with it: stats, norms, the rest."""
    keys = "_total_squared_norm", "_n_vanishing", "_n_exploding", "_all_norms"
    (total,), (vanishing,), (exploding,), norms, *rest = read_back(
        [*(queued[key] for key in keys), *more]
    )
    norm = combine_norms(total, norms)
    return assess(norm, queued["_n_grads"], vanishing, exploding), norms, rest


@torch.no_grad()
def _collect_metrics(
    gradients: Gradients, thresholds: SeedGradientCollector
) -> GradientHealthMetrics:
    tensors = gradients.stored
    measured, nonzero_count = measure_and_count(tensors)
    counts = [nonzero_count, count_nonfinite([t for t in tensors if not on_host(t)])]
    stats, norms, counted = _read_stats(_queue_stats(measured, thresholds), counts)
    (nonzeros,), (nans, infs) = counted
    # A finite norm rules out NaN and infinity. Looking at the norms before counting would cost an
    # accelerator a second synchronisation; in the host's memory it costs nothing.
    suspects = [t for t, norm in zip(tensors, norms) if on_host(t) and not math.isfinite(norm)]
    host_nans, host_infs = count_nonfinite(suspects).tolist() if suspects else (0, 0)
    elements = gradients.size
    smallest, largest, ratio = measure_spread(norms)
    return GradientHealthMetrics(
        **stats,
        min_layer_norm=smallest,
        max_layer_norm=largest,
        norm_ratio=ratio,
        zero_grad_fraction=(elements - nonzeros) / elements if elements else 0.0,
        nan_count=nans + host_nans,
        inf_count=infs + host_infs,
    )


@torch.no_grad()
def _queue_squared_sum(
    parameters: Iterable[Tensor], device: str | torch.device
) -> tuple[Tensor, int]:
    gradients = find_gradients(parameters)
    if not gradients.stored:
        dtype = accumulator(torch.device(device).type)
        return torch.zeros((), dtype=dtype, device=device), 0
    return measure_norms(gradients.stored).square().sum(), gradients.size
