"""The values that the collector returns, and how norms become a health score. No tensors here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

_VANISHING_WEIGHT = 0.5
_EXPLODING_WEIGHT = 0.8
_SMALLEST_DIVISOR = 1e-10
_DUAL_EPSILON = 1e-8
# Squares below it may have lost digits to underflow: in float32, and long before in float64.
_SMALLEST_SOUND_SQUARE = 1e-30


class GradientHealthStats(TypedDict):
    """The health of a set of gradients.

    Attributes:
        gradient_norm: The global L2 norm, as ``torch.nn.utils.clip_grad_norm_`` computes it: the
            root of the sum of the squared norms of the tensors, not divided by their number.
        gradient_health: 1 - 0.5 * vanishing share - 0.8 * exploding share, in [0, 1]; 0 where
            the global norm is not finite, 1 without gradients.
        has_vanishing: Whether the norm of any tensor is below the threshold. The norm of a
            zero-size tensor is 0, so it counts.
        has_exploding: Whether the norm of any tensor is above its threshold or not finite.
    """

    gradient_norm: float
    gradient_health: float
    has_vanishing: bool
    has_exploding: bool


@dataclass
class GradientHealthMetrics:
    """What `GradientHealthStats` has, and what takes another look at the elements.

    Attributes:
        gradient_norm: See `GradientHealthStats`.
        gradient_health: See `GradientHealthStats`.
        has_vanishing: See `GradientHealthStats`.
        has_exploding: See `GradientHealthStats`.
        min_layer_norm: Smallest norm of a tensor; NaN where any of them is NaN.
        max_layer_norm: Largest norm of a tensor; NaN where any of them is NaN.
        norm_ratio: max_layer_norm / max(min_layer_norm, 1e-10); 1 without gradients.
        zero_grad_fraction: Share of elements that equal zero, in [0, 1]; what a sparse gradient
            does not store is zero. 0 without elements.
        nan_count: Number of NaN elements. A complex element is one: NaN where either part is.
        inf_count: Number of infinite elements, counted alike.
    """

    # By hand: dataclass(slots=True) needs Python 3.10.
    __slots__ = (
        "gradient_health",
        "gradient_norm",
        "has_exploding",
        "has_vanishing",
        "inf_count",
        "max_layer_norm",
        "min_layer_norm",
        "nan_count",
        "norm_ratio",
        "zero_grad_fraction",
    )

    gradient_norm: float
    gradient_health: float
    has_vanishing: bool
    has_exploding: bool
    min_layer_norm: float
    max_layer_norm: float
    norm_ratio: float
    zero_grad_fraction: float
    nan_count: int
    inf_count: int

    def is_healthy(self, max_norm_ratio: float = 1000.0, max_zero_fraction: float = 0.5) -> bool:
        """Tell whether training can go on.

        Args:
            max_norm_ratio: `norm_ratio` must be below it.
            max_zero_fraction: `zero_grad_fraction` must be below it.

        Returns:
            Whether there is no NaN, no infinity and no exploding tensor, and both limits are kept.
        """
        return (
            self.nan_count == 0
            and self.inf_count == 0
            and not self.has_exploding
            and self.norm_ratio < max_norm_ratio
            and self.zero_grad_fraction < max_zero_fraction
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the ten fields as plain Python numbers, by name, in order."""
        return asdict(self)


@dataclass
class DualGradientStats:
    """The norms of two sets of gradients, and how large each set is.

    Attributes:
        host_grad_norm: Global L2 norm of the host's gradients.
        host_param_count: Number of elements of the host's parameters that have a gradient.
        seed_grad_norm: Global L2 norm of the seed's gradients.
        seed_param_count: Number of elements of the seed's parameters that have a gradient.
    """

    __slots__ = ("host_grad_norm", "host_param_count", "seed_grad_norm", "seed_param_count")

    host_grad_norm: float
    host_param_count: int
    seed_grad_norm: float
    seed_param_count: int

    @property
    def normalized_ratio(self) -> float:
        """(seed norm / √seed count) / (host norm / √host count + 1e-8).

        The roots make sets of different sizes comparable: the norm of n elements of one magnitude
        grows with √n. 0.0 where either norm is below 1e-8 or a count is 0.
        """
        if min(self.host_param_count, self.seed_param_count) <= 0:
            return 0.0
        if self.host_grad_norm < _DUAL_EPSILON or self.seed_grad_norm < _DUAL_EPSILON:
            return 0.0
        host = self.host_grad_norm / math.sqrt(self.host_param_count)
        seed = self.seed_grad_norm / math.sqrt(self.seed_param_count)
        return seed / (host + _DUAL_EPSILON)


def combine_norms(squared_sum: float, norms: Sequence[float]) -> float:
    """Return the global norm: √squared_sum, or from the norms where their squares left the range.

    Args:
        squared_sum: Sum of the squared norms, as the gradients' device added them up.
        norms: The norms.
    """
    sound = _SMALLEST_SOUND_SQUARE < squared_sum < math.inf
    if sound or not all(map(math.isfinite, norms)):
        return math.sqrt(squared_sum)
    return math.hypot(*norms)


def assess(norm: float, tensors: int, vanishing: int, exploding: int) -> GradientHealthStats:
    """Return the health of so many tensors, of which so many vanish and explode.

    Args:
        norm: The global norm.
        tensors: Number of tensors.
        vanishing: How many of them vanish.
        exploding: How many of them explode.
    """
    penalty = _VANISHING_WEIGHT * vanishing + _EXPLODING_WEIGHT * exploding
    health = min(max(1.0 - penalty / max(tensors, 1), 0.0), 1.0)
    return GradientHealthStats(
        gradient_norm=norm,
        gradient_health=health if math.isfinite(norm) else 0.0,
        has_vanishing=vanishing > 0,
        has_exploding=exploding > 0,
    )


def measure_spread(norms: Sequence[float]) -> tuple[float, float, float]:
    """Return the smallest norm, the largest, and their ratio (see `GradientHealthMetrics`)."""
    if not norms:
        return 0.0, 0.0, 1.0
    if any(map(math.isnan, norms)):
        # Python's own min and max would answer by position.
        return math.nan, math.nan, math.nan
    smallest, largest = min(norms), max(norms)
    return smallest, largest, largest / max(smallest, _SMALLEST_DIVISOR)
