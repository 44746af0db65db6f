"""Every line of the collector's contract, against references in plain Python."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch")

import torch

from gradnorms import collector, elements, gradients
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor
    from torch.nn import Parameter

NAN, INF = math.nan, math.inf
STATS = ["gradient_norm", "gradient_health", "has_vanishing", "has_exploding"]
METRICS = [
    *STATS,
    "min_layer_norm",
    "max_layer_norm",
    "norm_ratio",
    "zero_grad_fraction",
    "nan_count",
    "inf_count",
]
ASYNC_KEYS = {
    "_empty",
    "_n_grads",
    "_total_squared_norm",
    "_all_norms",
    "_n_vanishing",
    "_n_exploding",
}
NOTHING = {
    "gradient_norm": 0.0,
    "gradient_health": 1.0,
    "has_vanishing": False,
    "has_exploding": False,
}
READS = [
    "__array__",
    "__bool__",
    "__complex__",
    "__float__",
    "__index__",
    "__int__",
    "cpu",
    "item",
    "numpy",
    "tolist",
]


def with_gradient(gradient: Tensor) -> Parameter:
    data = torch.zeros(gradient.shape, dtype=gradient.dtype, device=gradient.device)
    parameter = torch.nn.Parameter(data)
    parameter.grad = gradient
    return parameter


def parameters_of(*rows: list[Any], dtype: torch.dtype = torch.float32) -> list[Parameter]:
    return [with_gradient(torch.tensor(row, dtype=dtype)) for row in rows]


def embedding_of(
    rows: list[int], *, size: int = 6, dtype: torch.dtype = torch.float32
) -> Parameter:
    """An embedding of width 2 whose sparse gradient has a 1 for each time that a row was used."""
    table = torch.nn.Embedding(size, 2, sparse=True, dtype=dtype)
    table(torch.tensor(rows)).sum().backward()
    weight = table.weight
    assert isinstance(weight, torch.nn.Parameter)
    return weight


def metrics_of(parameters: Iterable[Tensor]) -> GradientHealthMetrics:
    return collect_seed_gradients(parameters, return_enhanced=True)


def root_of_squares(values: Iterable[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the methods that took values off a tensor, in order."""
    collect_seed_gradients(parameters_of([1.0]))  # what is tried once has been tried
    seen: list[str] = []

    def spy_on(name: str) -> Callable[..., Any]:
        original = getattr(torch.Tensor, name)

        def spy(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes on what it is given
            seen.append(name)
            return original(*args, **kwargs)

        return spy

    for name in READS:
        monkeypatch.setattr(torch.Tensor, name, spy_on(name))
    return seen


def norms_without_looking(tensors: list[Tensor], *, dtype: torch.dtype) -> list[Tensor]:
    """Stands in for compute_norms, which may look at values in the host's memory."""
    return [torch.linalg.vector_norm(tensor, dtype=dtype) for tensor in tensors]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat gradients as if they were not in the host's memory, where looking costs nothing."""
    monkeypatch.setattr(gradients, "estimate_norms", lambda *_: None)
    monkeypatch.setattr(gradients, "compute_norms", norms_without_looking)
    for module in (gradients, collector):
        monkeypatch.setattr(module, "on_host", lambda _: False)


class TestDefaults:
    def test_the_exploding_threshold_is_ten_times_the_default_clip_norm(self) -> None:
        assert DEFAULT_VANISHING_THRESHOLD == 1e-7
        assert DEFAULT_EXPLODING_THRESHOLD == 10 * 1.0

    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            (
                SeedGradientCollector,
                {"vanishing_threshold": 1e-7, "exploding_threshold": 10.0},
            ),
            (
                collect_seed_gradients,
                {
                    "seed_parameters": inspect.Parameter.empty,
                    "vanishing_threshold": 1e-7,
                    "exploding_threshold": 10.0,
                    "return_enhanced": False,
                },
            ),
            (
                collect_seed_gradients_async,
                {
                    "seed_parameters": inspect.Parameter.empty,
                    "vanishing_threshold": 1e-7,
                    "exploding_threshold": 10.0,
                },
            ),
            (
                collect_dual_gradients_async,
                {
                    "host_parameters": inspect.Parameter.empty,
                    "seed_parameters": inspect.Parameter.empty,
                    "device": "cpu",
                },
            ),
        ],
    )
    def test_signatures_are_those_of_the_telemetry_module(
        self, function: Callable[..., Any], expected: dict[str, Any]
    ) -> None:
        found = inspect.signature(function).parameters
        assert {name: parameter.default for name, parameter in found.items()} == expected
        assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in found.values())

    def test_the_stats_have_the_four_documented_keys(self) -> None:
        assert list(GradientHealthStats.__annotations__) == STATS
        stats = collect_seed_gradients(parameters_of([1.0]))
        assert list(stats) == STATS
        assert [type(value) for value in stats.values()] == [float, float, bool, bool]


class TestNorm:
    def test_is_the_root_of_the_summed_squares_and_not_divided_by_the_number_of_tensors(
        self,
    ) -> None:
        stats = collect_seed_gradients(parameters_of([3.0, 0.0], [4.0], [12.0]))
        assert stats["gradient_norm"] == pytest.approx(13.0, rel=1e-12)

    def test_agrees_with_clip_grad_norm(self) -> None:
        rows = [[(37 * n % 101 - 50) / 64 for n in range(size)] for size in (1, 7, 500)]
        parameters = parameters_of(*rows)
        norm = collect_seed_gradients(parameters)["gradient_norm"]
        clipped = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        assert norm == pytest.approx(float(clipped), rel=1e-6)
        assert norm == pytest.approx(root_of_squares(chain(*rows)), rel=1e-6)

    @pytest.mark.parametrize(
        ("value", "count", "dtype"),
        [
            (2.0**67, 1000, torch.float32),
            (2.0**127, 1000, torch.float32),  # a norm that float32 cannot express
            (2.0**-100, 1000, torch.float32),
            (2.0**-149, 4, torch.float32),  # the smallest there is
            (2.0**15, 1000, torch.float16),
            (2.0**-24, 1000, torch.float16),
            (2.0**127, 1000, torch.bfloat16),
            (2.0**500, 1000, torch.float64),
        ],
    )
    def test_is_right_where_squares_leave_the_range(
        self, value: float, count: int, dtype: torch.dtype
    ) -> None:
        parameters = parameters_of([value] * count, dtype=dtype)
        expected = value * math.sqrt(count)
        assert collect_seed_gradients(parameters)["gradient_norm"] == pytest.approx(
            expected, rel=1e-6, abs=0
        )
        dual = materialize_dual_grad_stats(collect_dual_gradients_async(parameters, []))
        assert dual.host_grad_norm == pytest.approx(expected, rel=1e-6, abs=0)

    @pytest.mark.parametrize("value", [2.0**600, 2.0**-600])
    def test_is_right_where_squares_leave_float64(self, value: float) -> None:
        parameters = parameters_of([value] * 9, [value] * 16, dtype=torch.float64)
        assert collect_seed_gradients(parameters)["gradient_norm"] == 5 * value

    @pytest.mark.parametrize("exponent", [-600, 600])
    def test_is_right_where_the_squares_of_the_norms_leave_float64(self, exponent: int) -> None:
        stats = collect_async_of_norms([math.ldexp(3, exponent), math.ldexp(4, exponent)])
        norm = materialize_grad_stats(stats)["gradient_norm"]
        assert norm == pytest.approx(math.ldexp(5, exponent), rel=1e-12, abs=0)


def collect_async_of_norms(norms: list[float]) -> dict[str, Any]:
    """What `collect_async` would return for such norms."""
    all_norms = torch.tensor(norms, dtype=torch.float64)
    return {
        "_empty": False,
        "_n_grads": len(norms),
        "_total_squared_norm": all_norms.square().sum(),
        "_all_norms": all_norms,
        "_n_vanishing": torch.tensor(0),
        "_n_exploding": torch.tensor(0),
    }


class TestWithoutGradients:
    @pytest.mark.parametrize("parameters", [[], [torch.nn.Parameter(torch.ones(3))]])
    def test_norm_is_zero_health_is_one_and_nothing_is_flagged(
        self, parameters: list[Parameter]
    ) -> None:
        assert collect_seed_gradients(parameters) == NOTHING
        assert materialize_grad_stats(collect_seed_gradients_async(parameters)) == NOTHING
        expected = dict.fromkeys(METRICS, 0) | NOTHING | {"norm_ratio": 1.0}
        assert metrics_of(parameters).to_dict() == expected

    def test_the_async_form_has_the_same_keys_and_tensors(self) -> None:
        stats = collect_seed_gradients_async([])
        assert set(stats) == ASYNC_KEYS
        assert stats["_empty"] is True
        assert stats["_n_grads"] == 0
        assert stats["_all_norms"].shape == (0,)
        assert stats["_total_squared_norm"].item() == 0

    def test_parameters_without_one_are_left_out(self) -> None:
        parameters = [torch.nn.Parameter(torch.ones(3)), *parameters_of([3.0, 4.0])]
        assert collect_seed_gradients(parameters)["gradient_norm"] == 5
        assert collect_seed_gradients_async(parameters)["_n_grads"] == 1
        assert collect_host_gradients_async(parameters)["_host_param_count"] == 2


class TestThresholds:
    @pytest.mark.parametrize(
        ("norm", "vanishing", "exploding"),
        [
            (0.0, True, False),
            (0.5, True, False),
            (1.0, False, False),
            (8.0, False, False),
            (8.5, False, True),
            (INF, False, True),
            (NAN, False, True),
        ],
    )
    def test_are_exclusive(self, norm: float, vanishing: bool, exploding: bool) -> None:  # noqa: FBT001
        stats = collect_seed_gradients(parameters_of([norm]), 1.0, 8.0)
        assert (stats["has_vanishing"], stats["has_exploding"]) == (vanishing, exploding)

    @pytest.mark.parametrize("value", [INF, -INF, NAN])
    def test_what_is_not_finite_explodes_above_any_threshold(self, value: float) -> None:
        stats = collect_seed_gradients(parameters_of([value, 1.0]), exploding_threshold=INF)
        assert stats["has_exploding"]

    @pytest.mark.parametrize(
        ("norms", "health"),
        [
            ([1.0, 1.0], 1.0),
            ([0.0, 1.0], 0.75),
            ([0.0, 0.0], 0.5),
            ([1.0, 100.0], 0.6),
            ([0.0, 100.0, 1.0, 1.0], 1 - 0.5 / 4 - 0.8 / 4),
            ([100.0], 0.2),
            ([1.0, 1.0, 1.0, INF], 0.0),
            ([1.0, 1.0, 1.0, NAN], 0.0),
        ],
    )
    def test_health_is_taken_down_by_both_shares(self, norms: list[float], health: float) -> None:
        stats = collect_seed_gradients(parameters_of(*([norm] for norm in norms)))
        assert stats["gradient_health"] == pytest.approx(health, rel=1e-12)

    def test_health_never_falls_below_zero(self) -> None:
        stats = collect_seed_gradients(parameters_of([5.0]), 10.0, 1.0)
        assert stats == {
            "gradient_norm": 5.0,
            "gradient_health": 0.0,
            "has_vanishing": True,
            "has_exploding": True,
        }


class TestMetrics:
    def test_have_the_ten_documented_fields_as_plain_numbers(self) -> None:
        fields = metrics_of(parameters_of([3.0, 0.0], [0.0, 0.5])).to_dict()
        assert list(fields) == METRICS
        assert fields == {
            "gradient_norm": pytest.approx(math.sqrt(9.25), rel=1e-12),
            "gradient_health": 1.0,
            "has_vanishing": False,
            "has_exploding": False,
            "min_layer_norm": 0.5,
            "max_layer_norm": 3.0,
            "norm_ratio": 6.0,
            "zero_grad_fraction": 0.5,
            "nan_count": 0,
            "inf_count": 0,
        }
        kinds = [float, float, bool, bool, float, float, float, float, int, int]
        assert [type(value) for value in fields.values()] == kinds

    def test_agree_with_the_stats(self) -> None:
        parameters = parameters_of([1e-9], [50.0, 1.0], [2.0])
        fields = metrics_of(parameters).to_dict()
        assert {key: fields[key] for key in STATS} == collect_seed_gradients(parameters)

    def test_take_their_thresholds_by_position(self) -> None:
        metrics = collect_seed_gradients(parameters_of([3.0]), 4.0, 2.0, True)  # noqa: FBT003
        assert isinstance(metrics, GradientHealthMetrics)
        assert metrics.has_vanishing
        assert metrics.has_exploding

    def test_the_ratio_of_a_vanished_tensor_stays_finite(self) -> None:
        assert metrics_of(parameters_of([0.0], [2.0])).norm_ratio == 2.0 / 1e-10

    @pytest.mark.parametrize("rows", [[[NAN], [1.0]], [[1.0], [NAN]], [[1.0], [NAN], [INF]]])
    def test_nan_reaches_the_layer_norms_wherever_it_stands(self, rows: list[list[float]]) -> None:
        metrics = metrics_of(parameters_of(*rows))
        assert math.isnan(metrics.min_layer_norm)
        assert math.isnan(metrics.max_layer_norm)
        assert math.isnan(metrics.norm_ratio)

    def test_infinity_is_the_largest_layer_norm(self) -> None:
        metrics = metrics_of(parameters_of([2.0], [-INF]))
        assert (metrics.min_layer_norm, metrics.max_layer_norm) == (2.0, INF)
        assert metrics.norm_ratio == INF

    @pytest.mark.parametrize("everywhere", [True, False], ids=["host", "accelerator"])
    @pytest.mark.parametrize("piece", [2**20, 4])
    def test_count_nan_and_infinity_apart(
        self,
        everywhere: bool,  # noqa: FBT001
        piece: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(collector, "on_host", lambda _: everywhere)
        monkeypatch.setattr(gradients, "_PIECE", piece)
        rows = [[[NAN, 1.0, INF], [0.0, -INF, NAN], [NAN, 0.0, 0.0]], [[0.0, 1.0]], [[INF]]]
        metrics = metrics_of(parameters_of(*rows))
        assert (metrics.nan_count, metrics.inf_count) == (3, 3)
        assert metrics.zero_grad_fraction == 4 / 12

    def test_count_negative_zero_as_zero(self) -> None:
        assert metrics_of(parameters_of([-0.0, 0.0, 1.0, 1.0])).zero_grad_fraction == 0.5

    def test_counts_are_exact_where_float32_is_not(self) -> None:
        size = 2**24 + 3
        flaws = torch.full((size,), NAN, dtype=torch.float16)
        flaws[0] = INF
        zeros = torch.zeros(size, dtype=torch.float16)
        zeros[0] = 1
        metrics = metrics_of([with_gradient(flaws), with_gradient(zeros)])
        assert (metrics.nan_count, metrics.inf_count) == (size - 1, 1)
        assert metrics.zero_grad_fraction == (size - 1) / (2 * size)

    def test_have_slots_and_can_be_copied_and_pickled(self) -> None:
        for value in (metrics_of(parameters_of([1.0])), DualGradientStats(1.0, 2, 3.0, 4)):
            assert not hasattr(value, "__dict__")
            with pytest.raises(AttributeError):
                value.other = 1  # type: ignore[union-attr]
            assert copy.deepcopy(value) == value
            assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - made here


HEALTHY = GradientHealthMetrics(1.0, 1.0, False, False, 1.0, 2.0, 2.0, 0.1, 0, 0)  # noqa: FBT003


class TestIsHealthy:
    def test_healthy_gradients_are(self) -> None:
        assert HEALTHY.is_healthy() is True

    @pytest.mark.parametrize(
        ("change", "healthy"),
        [
            ({"nan_count": 1}, False),
            ({"inf_count": 1}, False),
            ({"has_exploding": True}, False),
            ({"has_vanishing": True}, True),
            ({"norm_ratio": 999.0}, True),
            ({"norm_ratio": 1000.0}, False),
            ({"norm_ratio": NAN}, False),
            ({"zero_grad_fraction": 0.49}, True),
            ({"zero_grad_fraction": 0.5}, False),
        ],
    )
    def test_each_flaw_and_each_limit(self, change: dict[str, Any], healthy: bool) -> None:  # noqa: FBT001
        assert GradientHealthMetrics(**HEALTHY.to_dict() | change).is_healthy() is healthy

    def test_limits_can_be_set(self) -> None:
        assert not HEALTHY.is_healthy(2.0)
        assert not HEALTHY.is_healthy(max_zero_fraction=0.1)


class TestAwkwardGradients:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_of_any_real_dtype(self, dtype: torch.dtype) -> None:
        metrics = metrics_of(parameters_of([3.0, 0.0, 4.0], [0.0, -12.0], dtype=dtype))
        assert metrics.gradient_norm == pytest.approx(13.0, rel=1e-12)
        assert metrics.zero_grad_fraction == 0.4

    def test_of_mixed_dtypes(self) -> None:
        parameters = [
            *parameters_of([3.0], dtype=torch.float16),
            *parameters_of([4.0], dtype=torch.float64),
            *parameters_of([12j], dtype=torch.complex64),
        ]
        assert collect_seed_gradients(parameters)["gradient_norm"] == pytest.approx(13.0)
        assert collect_seed_gradients_async(parameters)["_all_norms"].tolist() == [3, 4, 12]

    @pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
    def test_complex_elements_count_once(self, dtype: torch.dtype) -> None:
        values = [complex(NAN, NAN), complex(0, INF), complex(-INF, INF), 0, 2j, complex(0, NAN)]
        metrics = metrics_of(parameters_of(values, dtype=dtype))
        assert (metrics.nan_count, metrics.inf_count) == (2, 2)
        assert metrics.zero_grad_fraction == 1 / 6

    @pytest.mark.parametrize("view", [torch.conj, lambda gradient: gradient.conj().imag])
    def test_lazily_conjugated_views(self, view: Callable[[Tensor], Tensor]) -> None:
        gradient = view(torch.tensor([3j, 4j, 0], dtype=torch.complex64))
        metrics = metrics_of([with_gradient(gradient)])
        assert metrics.gradient_norm == pytest.approx(5.0)
        assert metrics.zero_grad_fraction == 1 / 3

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            (lambda t: t.t(), [float(n) for n in range(12)]),
            (lambda t: t[:, ::2], [float(n) for n in range(12) if n % 3 != 1]),
            (lambda t: t[2, 1], [7.0]),
            (lambda t: t[2, 2:].expand(5), [8.0] * 5),
        ],
    )
    def test_that_are_not_contiguous(
        self, view: Callable[[Tensor], Tensor], expected: list[float]
    ) -> None:
        gradient = view(torch.arange(12.0).reshape(4, 3))
        metrics = metrics_of([with_gradient(gradient)])
        assert metrics.gradient_norm == pytest.approx(root_of_squares(expected), rel=1e-6)
        assert metrics.zero_grad_fraction == expected.count(0.0) / len(expected)

    def test_sparse_ones_are_coalesced_and_what_they_do_not_store_is_zero(self) -> None:
        weight = embedding_of([1, 4, 1, 1])
        assert weight.grad is not None
        assert not weight.grad.is_coalesced()
        metrics = metrics_of([weight])
        assert metrics.gradient_norm == pytest.approx(root_of_squares([3, 3, 1, 1]), rel=1e-6)
        assert metrics.zero_grad_fraction == 8 / 12
        assert not weight.grad.is_coalesced(), "the gradient itself must stay as it is"

    @pytest.mark.parametrize("rows", [[], [2, 2]])
    def test_sparse_ones_may_store_nothing_or_zeros(self, rows: list[int]) -> None:
        table = torch.nn.Embedding(6, 2, sparse=True)
        signs = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])[: len(rows)]
        (table(torch.tensor(rows, dtype=torch.int64)) * signs).sum().backward()
        metrics = metrics_of([table.weight])
        assert metrics.gradient_norm == pytest.approx(len(rows))
        assert metrics.zero_grad_fraction == (11 if rows else 12) / 12

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
    def test_sparse_ones_of_other_dtypes(self, dtype: torch.dtype) -> None:
        weight = torch.nn.Parameter(torch.zeros(3, 2, dtype=dtype))
        values = torch.tensor([[1, 2], [0, 0], [2, 2]], dtype=dtype)
        weight.grad = torch.sparse_coo_tensor(
            torch.tensor([[0, 2, 0]]), values, (3, 2), check_invariants=True
        )
        metrics = metrics_of([weight])
        assert metrics.gradient_norm == pytest.approx(5.0)
        assert metrics.zero_grad_fraction == 4 / 6

    @pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
    def test_compressed_sparse_ones(self) -> None:
        gradient = torch.tensor([[0.0, 3.0], [-4.0, 0.0]]).to_sparse_csr()
        stored = elements.stored_elements(gradient)
        assert sorted(stored.tolist()) == [-4, 3]

    def test_of_no_size_have_norm_zero_and_no_elements(self) -> None:
        empty = torch.zeros(0, 3)
        assert metrics_of([with_gradient(empty)]).to_dict() == {
            **dict.fromkeys(METRICS, 0),
            "gradient_health": 0.5,
            "has_vanishing": True,
        }
        metrics = metrics_of([with_gradient(empty), *parameters_of([0.0, 2.0])])
        assert metrics.gradient_norm == 2
        assert metrics.zero_grad_fraction == 0.5

    def test_of_no_dimension(self) -> None:
        assert metrics_of(parameters_of(-3.0)).gradient_norm == 3  # type: ignore[arg-type]

    def test_that_have_a_history_give_stats_without_one(self) -> None:
        weight = torch.tensor([2.0, 1.0], requires_grad=True)
        with pytest.MonkeyPatch.context() as patch:
            (gradient,) = torch.autograd.grad((weight**3).sum(), weight, create_graph=True)
            patch.setattr(weight, "grad", gradient)
            stats = collect_seed_gradients_async([weight])
        assert not stats["_all_norms"].requires_grad
        assert stats["_all_norms"].item() == pytest.approx(math.hypot(12, 3))
        weight.grad = None

    def test_generators_and_single_parameters_are_taken(self) -> None:
        parameters = parameters_of([3.0], [4.0])
        for collect in (collect_seed_gradients, SeedGradientCollector().collect):
            assert collect(p for p in parameters)["gradient_norm"] == 5
            assert collect(parameters[0])["gradient_norm"] == 3
        assert metrics_of(p for p in parameters).gradient_norm == 5
        dual = collect_dual_gradients_async((p for p in parameters), iter(parameters))
        assert materialize_dual_grad_stats(dual) == DualGradientStats(5.0, 2, 5.0, 2)


class TestAsync:
    def test_has_the_documented_keys_and_kinds(self) -> None:
        stats = collect_seed_gradients_async(parameters_of([0.0], [3.0], [40.0]))
        assert set(stats) == ASYNC_KEYS
        assert stats["_empty"] is False
        assert stats["_n_grads"] == 3
        assert stats["_total_squared_norm"].dtype == torch.float64
        assert stats["_total_squared_norm"].item() == pytest.approx(1609)
        assert stats["_all_norms"].dtype == torch.float64
        assert stats["_all_norms"].tolist() == [0, 3, 40]
        assert (stats["_n_vanishing"].item(), stats["_n_exploding"].item()) == (1, 1)

    def test_keeps_the_thresholds_of_its_collector(self) -> None:
        own = SeedGradientCollector(1.0, 2.0)
        assert (own.vanishing_threshold, own.exploding_threshold) == (1.0, 2.0)
        stats = collect_seed_gradients_async(parameters_of([0.5], [3.0]), 1.0, 2.0)
        for queued in (stats, own.collect_async(parameters_of([0.5], [3.0]))):
            assert (queued["_n_vanishing"].item(), queued["_n_exploding"].item()) == (1, 1)

    @pytest.mark.parametrize("shape", [(), (1,), (5,)])
    def test_what_happens_to_the_gradients_afterwards_changes_nothing(
        self, shape: tuple[int, ...]
    ) -> None:
        gradient = torch.full(shape, 3.0, dtype=torch.float64)
        parameters = [with_gradient(gradient)]
        stats = collect_seed_gradients_async(parameters)
        dual = collect_dual_gradients_async(parameters, parameters)
        expected = materialize_grad_stats(stats), materialize_dual_grad_stats(dual)
        with torch.no_grad():
            # What torch.optim.SGD does, whose import alone takes seconds.
            gradient.add_(parameters[0] + 1, alpha=0.5)
            parameters[0].sub_(gradient, alpha=0.1)
        gradient.zero_()
        assert (materialize_grad_stats(stats), materialize_dual_grad_stats(dual)) == expected
        assert expected[0]["gradient_norm"] == pytest.approx(3 * math.sqrt(math.prod(shape)))

    @pytest.mark.usefixtures("away")
    def test_reads_nothing_back(self, reads: list[str]) -> None:
        parameters = [*parameters_of([1.0], [NAN, INF]), embedding_of([1, 1])]
        collect_seed_gradients_async(parameters)
        collect_dual_gradients_async(parameters, parameters)
        assert reads == []

    @pytest.mark.usefixtures("away")
    def test_the_others_read_back_once(self, reads: list[str]) -> None:
        parameters = [*parameters_of([1.0], [2.0]), embedding_of([1, 1])]
        for collect in (collect_seed_gradients, metrics_of):
            reads.clear()
            collect(parameters)
            assert reads == ["tolist"]
        reads.clear()
        materialize_dual_grad_stats(collect_dual_gradients_async(parameters, parameters))
        assert reads == ["tolist"]

    def test_without_gradients_nothing_is_read_back(self, reads: list[str]) -> None:
        assert collect_seed_gradients([]) == NOTHING
        assert reads == []

    @pytest.mark.usefixtures("away")
    def test_counting_nan_off_the_host_takes_no_second_reading(self, reads: list[str]) -> None:
        assert metrics_of(parameters_of([NAN, INF, NAN])).nan_count == 2
        assert reads == ["tolist"]


@pytest.mark.skipif(not hasattr(torch, "_neg_view"), reason="this torch negates at once")
@pytest.mark.parametrize("count", [5, 5000])
def test_lazily_negated_gradients_are_counted(count: int) -> None:
    gradient = torch.ones(count)
    gradient[: count // 5] = 0
    assert metrics_of([with_gradient(torch._neg_view(gradient))]).zero_grad_fraction == 0.2


class TestDual:
    def test_has_the_documented_keys_and_kinds(self) -> None:
        host, seed = parameters_of([3.0, 4.0], [12.0]), parameters_of([2.0])
        stats = collect_dual_gradients_async(host, seed)
        assert list(stats) == [
            "_host_squared_sum",
            "_host_param_count",
            "_seed_squared_sum",
            "_seed_param_count",
        ]
        assert stats["_host_squared_sum"].dtype == torch.float64
        assert stats["_host_squared_sum"].item() == pytest.approx(169)
        assert (stats["_host_param_count"], stats["_seed_param_count"]) == (3, 1)
        assert materialize_dual_grad_stats(stats) == DualGradientStats(13.0, 3, 2.0, 1)

    def test_is_made_of_its_two_halves(self) -> None:
        host, seed = parameters_of([3.0]), parameters_of([2.0])
        halves = collect_host_gradients_async(host) | collect_seed_gradients_only_async(seed)
        assert materialize_dual_grad_stats(halves) == DualGradientStats(3.0, 1, 2.0, 1)

    @pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "meta"])
    def test_without_gradients_has_a_zero_on_the_device(self, device: str | torch.device) -> None:
        stats = collect_dual_gradients_async([], iter([]), device)
        for key in ("_host_squared_sum", "_seed_squared_sum"):
            assert stats[key].device == torch.device(device)
            assert stats[key].dtype == torch.float64
            assert stats[key].shape == ()
        assert (stats["_host_param_count"], stats["_seed_param_count"]) == (0, 0)

    def test_without_gradients_is_zero(self) -> None:
        stats = materialize_dual_grad_stats(collect_dual_gradients_async([], []))
        assert stats == DualGradientStats(0.0, 0, 0.0, 0)
        assert stats.normalized_ratio == 0

    @pytest.mark.parametrize(
        ("host", "host_count", "seed", "seed_count", "ratio"),
        [
            (4.0, 16, 6.0, 9, 2.0 / (1.0 + 1e-8)),
            (2e-8, 1, 2e-8, 1, 2e-8 / 3e-8),
            (1e-8, 1, 1.0, 1, 1.0 / 2e-8),
            (0.9e-8, 1, 1.0, 1, 0.0),
            (1.0, 1, 0.9e-8, 1, 0.0),
            (1.0, 0, 1.0, 1, 0.0),
            (1.0, 1, 1.0, 0, 0.0),
        ],
    )
    def test_the_ratio_makes_sizes_comparable(
        self, host: float, host_count: int, seed: float, seed_count: int, ratio: float
    ) -> None:
        stats = DualGradientStats(host, host_count, seed, seed_count)
        assert stats.normalized_ratio == pytest.approx(ratio, rel=1e-12)

    def test_sparse_gradients_count_all_their_elements(self) -> None:
        stats = collect_host_gradients_async([embedding_of([1, 1, 2])])
        assert stats["_host_param_count"] == 12
        assert stats["_host_squared_sum"].item() == pytest.approx(10)


class TestDevices:
    def test_results_meet_on_the_first_that_is_not_the_host(self) -> None:
        here, away = torch.ones(()), torch.ones((), device="meta")
        assert gradients.gather([here, here], torch.float64).device.type == "cpu"
        assert gradients.gather([here, away, here], torch.float64).device.type == "meta"

    def test_without_float64_norms_are_right_and_counts_exact(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gradients, "accumulator", lambda _: torch.float32)
        monkeypatch.setattr(gradients, "estimate_norms", lambda *_: None)
        flaws = torch.full((2**24 + 1,), NAN, dtype=torch.float16)
        parameters = parameters_of([2.0**70] * 4, [2.0**69])
        assert collect_seed_gradients_async(parameters)["_all_norms"].dtype == torch.float32
        assert metrics_of(parameters).gradient_norm == pytest.approx(2.0**69 * math.sqrt(17))
        assert metrics_of([with_gradient(flaws)]).nan_count == 2**24 + 1

    def test_reading_back_keeps_every_bit(self) -> None:
        tensors = [
            torch.tensor(2**62 + 1),
            torch.tensor([math.pi, -0.0, INF], dtype=torch.float64),
            torch.tensor([1.5, -INF]),
            torch.tensor([], dtype=torch.float64),
            torch.tensor(-2.5, dtype=torch.float16),
            torch.tensor(True),  # noqa: FBT003
        ]
        expected = [[2**62 + 1], [math.pi, 0.0, INF], [1.5, -INF], [], [-2.5], [1]]
        assert gradients.read_back(tensors) == expected

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_an_accelerator_beside_the_host(self) -> None:
        parameters = [
            *parameters_of([3.0, 0.0]),
            with_gradient(torch.tensor([4.0, NAN], device="cuda")),
            with_gradient(torch.tensor([12.0], device="cuda")),
        ]
        metrics = metrics_of(parameters)
        assert (metrics.nan_count, metrics.zero_grad_fraction) == (1, 0.2)
        assert collect_seed_gradients(parameters[::2])["gradient_norm"] == pytest.approx(
            12.37, abs=0.01
        )

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_nothing_waits_for_an_accelerator(self) -> None:
        parameters = [with_gradient(torch.ones(100, device="cuda"))]
        collect_seed_gradients(parameters)
        torch.cuda.set_sync_debug_mode("error")
        try:
            collect_seed_gradients_async(parameters)
            collect_dual_gradients_async(parameters, parameters)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="this torch has no such mode")
def test_a_default_device_changes_nothing() -> None:
    parameters = parameters_of([3.0, -4.0])
    with torch.device("meta"):
        nothing = collect_seed_gradients([], return_enhanced=True)
        metrics = collect_seed_gradients(parameters, return_enhanced=True)
    assert (nothing.gradient_norm, nothing.norm_ratio) == (0, 1)
    assert metrics.gradient_norm == 5
