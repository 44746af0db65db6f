"""compute_norms of tensors that are more than numbers: tracked, transformed, wrapped, sharded."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from tests.gradnorms.exact import assert_norm, sum_of_squares
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from gradnorms import NormError, collect_seed_gradients, compute_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ROWS = ((3.0, 4.0), (6.0, 8.0), (5.0, 12.0))
SIZES = [5.0, 10.0, 13.0]
# Untyped in torch.
make_dual: Any = forward_ad.make_dual
unpack_dual: Any = forward_ad.unpack_dual
with_value: Any = torch.func.grad_and_value
jvp: Any = torch.func.jvp

# Forward mode of some releases still makes use of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")


@pytest.fixture
def rows() -> Tensor:
    return torch.tensor(ROWS)


def tracked(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes
    ]


class TestTracked:
    def test_parameters_have_differentiable_norms(self, path: str) -> None:
        del path
        parameters = [torch.nn.Parameter(torch.tensor(row)) for row in ROWS]
        norms = compute_norms(parameters)
        assert [norm.item() for norm in norms] == SIZES
        assert all(type(norm) is Tensor and norm.requires_grad for norm in norms)
        torch.autograd.backward(torch.stack(norms).sum())
        for parameter, size in zip(parameters, SIZES, strict=True):
            assert parameter.grad is not None
            assert parameter.grad.tolist() == pytest.approx((parameter / size).tolist())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
    def test_first_and_second_derivatives_are_right(self, path: str, dtype: torch.dtype) -> None:
        del path
        inputs = tracked((3,), (3,), (2, 2), (), (3,), dtype=dtype)

        def norms(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(compute_norms(tensors))

        assert torch.autograd.gradcheck(norms, inputs)
        assert torch.autograd.gradgradcheck(norms, inputs)

    def test_derivatives_are_those_of_the_operator(self) -> None:
        inputs = tracked((4,), (4,), (3, 2), (513,))
        ours = torch.autograd.grad(list(compute_norms(inputs)), inputs, tracked((), (), (), ()))
        bare = [torch.linalg.vector_norm(tensor) for tensor in inputs]
        theirs = torch.autograd.grad(bare, inputs, tracked((), (), (), ()))
        for our, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(our, their)

    @pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
    def test_derivatives_survive_numbers_whose_squares_do_not(self, scale: float) -> None:
        tensor = torch.tensor([3 * scale, -4 * scale], requires_grad=True)
        (norm,) = compute_norms([tensor])
        (gradient,) = torch.autograd.grad(norm, tensor)
        assert gradient.tolist() == pytest.approx([0.6, -0.8])

    def test_the_derivative_at_zero_is_zero(self) -> None:
        tensors = [torch.zeros(3, requires_grad=True) for _ in range(2)]
        gradients = torch.autograd.grad(list(compute_norms(tensors)), tensors, [torch.ones(())] * 2)
        assert [gradient.tolist() for gradient in gradients] == [[0, 0, 0]] * 2

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_halves_have_derivatives_of_their_own_dtype(self, dtype: torch.dtype) -> None:
        tensor = torch.tensor([3.0, 4.0], dtype=dtype, requires_grad=True)
        (norm,) = compute_norms([tensor])
        (gradient,) = torch.autograd.grad(norm, tensor)
        assert gradient.dtype == dtype
        assert gradient.tolist() == torch.tensor([0.6, 0.8]).to(dtype).tolist()

    def test_what_is_not_tracked_stays_so_beside_what_is(self, path: str) -> None:
        del path
        plain, leaf = torch.tensor([3.0, 4.0]), torch.tensor([6.0, 8.0], requires_grad=True)
        norms = compute_norms([plain, leaf, plain, leaf * 2, plain])
        assert [norm.item() for norm in norms] == [5, 10, 5, 20, 5]
        assert [norm.requires_grad for norm in norms] == [False, True, False, True, False]
        torch.autograd.backward(torch.stack(norms).sum())
        assert leaf.grad is not None
        assert leaf.grad.tolist() == pytest.approx([1.8, 2.4])

    @pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
    def test_nothing_is_tracked_without_grad_mode(self, path: str, off: Any) -> None:  # noqa: ANN401 - a context manager's class
        del path
        with off():
            norms = compute_norms([torch.ones(4, requires_grad=True), torch.ones(4)])
        assert [(norm.item(), norm.requires_grad) for norm in norms] == [(2, False)] * 2

    def test_inference_tensors_have_norms(self, path: str) -> None:
        del path
        with torch.inference_mode():
            tensors = [torch.ones(4), torch.ones(4, dtype=torch.float16), torch.ones(9)]
        assert [norm.item() for norm in compute_norms(tensors)] == [2, 2, 3]

    def test_forward_mode_carries_the_tangent(self, rows: Tensor, path: str) -> None:
        del path
        for mode in (torch.enable_grad, torch.no_grad):
            with mode(), forward_ad.dual_level():
                dual = make_dual(rows[0], torch.ones(2))
                half = make_dual(rows[0].half(), torch.ones(2).half())
                norms = compute_norms([rows[1], dual, half, rows[2]])
                tangents = [unpack_dual(norm).tangent for norm in norms]
                assert [norm.item() for norm in norms] == [10, 5, 5, 13]
            assert not any(tangents[index] for index in (0, 3))  # none, or zero
            assert tangents[1].item() == pytest.approx(1.4)
            assert tangents[2].item() == pytest.approx(1.4, rel=2e-3)


def norm_of(row: Tensor) -> Tensor:
    (norm,) = compute_norms([row])
    return norm


def second_norm(row: Tensor) -> Tensor:
    return compute_norms([row.new_ones(2), 2 * row, row.new_ones(3)])[1]


def sum_of_norms(row: Tensor) -> Tensor:
    """Return the sum of norms of many equal shapes, and of one that is not equal."""
    return torch.stack([*compute_norms([row] * 4), *compute_norms([row, row[:1]])]).sum()


class TestTransforms:
    """torch.func: right, or refused; never wrong."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
    def test_vmap_has_a_norm_for_each_row(
        self, rows: Tensor, path: str, dtype: torch.dtype
    ) -> None:
        del path
        assert torch.func.vmap(norm_of)(rows.to(dtype)).tolist() == SIZES
        assert torch.func.vmap(second_norm)(rows.to(dtype)).tolist() == [2 * s for s in SIZES]

    def test_vmap_of_equal_shapes_and_of_other_dimensions(self, rows: Tensor, path: str) -> None:
        del path
        sums = [5 * size + row[0] for size, row in zip(SIZES, ROWS, strict=True)]
        assert torch.func.vmap(sum_of_norms)(rows).tolist() == sums
        assert torch.func.vmap(norm_of, in_dims=1)(rows.t()).tolist() == SIZES

    def test_vmap_keeps_extreme_rows_apart(self, path: str) -> None:
        del path
        rows = torch.tensor([[3e20, 4e20], [3.0, 4.0], [3e-30, 4e-30], [math.inf, 1.0], [0.0, 0.0]])
        norms = torch.func.vmap(norm_of)(rows)
        for norm, row in zip(norms[[0, 1, 2, 4]], rows[[0, 1, 2, 4]], strict=True):
            assert_norm(norm, sum_of_squares(row), torch.float32)
        assert norms[3].item() == math.inf

    def test_vmap_beside_what_is_not_batched(self, rows: Tensor) -> None:
        def both(row: Tensor) -> Tensor:
            return torch.stack(compute_norms([row, rows[0], row, rows[2]]))

        expected = [[size, 5.0, size, 13.0] for size in SIZES]
        assert torch.func.vmap(both)(rows).tolist() == expected

    def test_gradients(self, rows: Tensor, path: str) -> None:
        del path
        expected = [[a / s, b / s] for (a, b), s in zip(ROWS, SIZES, strict=True)]
        for row, size, gradient in zip(rows, SIZES, expected, strict=True):
            assert torch.func.grad(norm_of)(row).tolist() == pytest.approx(gradient)
            found, value = with_value(second_norm)(row)
            assert (value.item(), found.tolist()) == (
                2 * size,
                pytest.approx([2 * part for part in gradient]),
            )
        batched = torch.func.vmap(torch.func.grad(norm_of))(rows)
        assert batched.tolist() == [pytest.approx(gradient) for gradient in expected]

    def test_forward_and_backward_jacobians_agree(self, rows: Tensor, path: str) -> None:
        del path

        def norms(row: Tensor) -> Tensor:
            return torch.stack(compute_norms([row, 2 * row, row]))

        expected = [pytest.approx([factor * 0.6, factor * 0.8]) for factor in (1, 2, 1)]
        assert torch.func.jacrev(norms)(rows[0]).tolist() == expected
        assert torch.func.jacfwd(norms)(rows[0]).tolist() == expected
        value, tangent = jvp(norm_of, (rows[0],), (torch.ones(2),))
        assert (value.item(), tangent.item()) == (5, pytest.approx(1.4))

    def test_second_derivatives(self, rows: Tensor) -> None:
        hessian = torch.func.hessian(norm_of)(rows[0].double())
        assert hessian.tolist() == [
            pytest.approx([0.128, -0.096]),
            pytest.approx([-0.096, 0.072]),
        ]

    def test_per_sample_gradient_norms_of_a_model(self) -> None:
        model = torch.nn.Linear(3, 2)
        inputs = torch.tensor([[1.0, 2.0, 2.0], [0.0, 3.0, 4.0]])
        weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def loss(given: dict[str, Tensor], sample: Tensor) -> Tensor:
            result: Tensor = torch.func.functional_call(model, given, (sample,))
            return result.sum()

        def norms(sample: Tensor) -> Tensor:
            gradients = torch.func.grad(loss)(weights, sample)
            return torch.stack(compute_norms([gradients["weight"], gradients["bias"]]))

        found = torch.func.vmap(norms)(inputs)
        expected = [[3 * 2**0.5, 2**0.5], [5 * 2**0.5, 2**0.5]]
        assert found.tolist() == [pytest.approx(row) for row in expected]


class Plain(Tensor):
    """A subclass that changes nothing."""


class Logged(Tensor):
    """A subclass that sees every function."""

    seen: list[str]

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        cls.seen.append(getattr(func, "__name__", str(func)))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


class Wrapped(Tensor):
    """A tensor whose numbers are in another one, multiplied."""

    held: Tensor

    @staticmethod
    def __new__(cls: type[Wrapped], held: Tensor) -> Wrapped:  # noqa: PYI034 - no Self before 3.11
        made: Wrapped = Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.dtype, device=held.device
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        del types
        results = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs or {}))
        return tree_map(lambda x: Wrapped(x) if isinstance(x, Tensor) else x, results)


def unwrap(value: object) -> object:
    return value.held if isinstance(value, Wrapped) else value


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[str] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        del types
        self.operators.append(str(func))
        return func(*args, **(kwargs or {}))


class TestSubclasses:
    def test_subclasses_beside_plain_tensors_of_equal_shape(self, path: str) -> None:
        del path
        tensors = [torch.tensor(row) for row in ROWS]
        mixed = [tensors[0], tensors[1].as_subclass(Plain), tensors[2]]
        norms = compute_norms(mixed)
        assert [norm.item() for norm in norms] == SIZES
        assert [type(norm) for norm in norms] == [Tensor, Plain, Tensor]

    def test_a_subclass_sees_its_own_norm_and_no_others(self, path: str) -> None:
        del path
        Logged.seen = []
        logged = torch.tensor(ROWS[0]).as_subclass(Logged)
        norms = compute_norms([torch.tensor(ROWS[1]), logged, torch.tensor(ROWS[2])])
        assert Logged.seen
        assert [norm.item() for norm in norms] == [10, 5, 13]
        assert type(norms[0]) is type(norms[2]) is Tensor

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
    def test_wrappers_without_memory_of_their_own(self, path: str, dtype: torch.dtype) -> None:
        del path
        plain = [torch.tensor(row, dtype=dtype) for row in ROWS]
        mixed = [Wrapped(plain[0]), plain[1], Wrapped(plain[2]), Wrapped(plain[0])]
        norms = compute_norms(mixed)
        assert [type(norm) for norm in norms] == [Wrapped, Tensor, Wrapped, Wrapped]
        values = [norm.held if isinstance(norm, Wrapped) else norm for norm in norms]
        assert [(value.item(), value.dtype) for value in values] == [
            (size, dtype) for size in (5, 10, 13, 5)
        ]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
    def test_a_dispatch_mode_changes_nothing(self, path: str, dtype: torch.dtype) -> None:
        del path
        tensors = [torch.tensor(row, dtype=dtype) for row in ROWS]
        with Counting() as mode:
            norms = compute_norms(tensors)
        assert mode.operators
        assert [(type(norm), norm.item()) for norm in norms] == [(Tensor, size) for size in SIZES]


fake_tensor = pytest.importorskip("torch._subclasses.fake_tensor")


class TestFake:
    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64], ids=str
    )
    @pytest.mark.parametrize("tracks", [False, True])
    def test_many_fake_tensors_have_fake_norms(self, dtype: torch.dtype, *, tracks: bool) -> None:
        with fake_tensor.FakeTensorMode():
            tensors = [
                torch.empty(shape, dtype=dtype, requires_grad=tracks)
                for shape in [(3,), (3,), (2, 3), (), (0,), (2**40,), (3,)]
            ]
            norms = compute_norms(tensors)
        expected = torch.float32 if dtype == torch.complex64 else dtype
        assert len(norms) == len(tensors)
        for norm in norms:
            assert isinstance(norm, fake_tensor.FakeTensor)
            assert (norm.shape, norm.dtype, norm.device.type) == ((), expected, "cpu")
            assert norm.requires_grad == tracks

    def test_a_wider_dtype_is_that_of_the_fake_norm(self) -> None:
        with fake_tensor.FakeTensorMode():
            norms = compute_norms([torch.empty(3).half(), torch.empty(3)], dtype=torch.float64)
        assert [norm.dtype for norm in norms] == [torch.float64] * 2

    def test_copies_of_real_tensors_beside_real_ones(self) -> None:
        mode = fake_tensor.FakeTensorMode()
        real = [torch.tensor(row) for row in ROWS]
        norms = compute_norms([real[0], mode.from_tensor(real[1]), real[2]])
        kinds = [isinstance(norm, fake_tensor.FakeTensor) for norm in norms]
        assert kinds == [False, True, False]
        assert [norms[0].item(), norms[2].item()] == [5, 13]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if torch.__version__.startswith("2.0.") and sys.version_info >= (3, 11):
        pytest.skip("torch.compile of 2.0 does not know Python 3.11")
    torch._dynamo.reset()
    result: Callable[..., Any] = torch.compile(function, fullgraph=True, backend="eager")
    return result


@pytest.mark.filterwarnings("ignore")  # torch's own, which differ by release
class TestCompiled:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    def test_many_tensors_of_equal_and_other_shapes(self, dtype: torch.dtype) -> None:
        shapes = [(3,), (4,), (3,), (), (2, 2), (4,), (513,), (0,)] * 6
        tensors = [torch.full(shape, 1 + i % 9, dtype=dtype) for i, shape in enumerate(shapes)]
        norms = compiled(compute_norms)(tensors)
        assert len(norms) == len(tensors)
        for tensor, norm in zip(tensors, norms, strict=True):
            assert_norm(norm, sum_of_squares(tensor), dtype)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_halves_are_correctly_rounded(self, dtype: torch.dtype) -> None:
        middle = [2048.0, 64.0, 1.0] if dtype == torch.float16 else [256.0, 22.0, 5.0, 2.0]
        least = 2.0**-8 if dtype == torch.float16 else 2.0**-10
        tensors = [torch.tensor(values, dtype=dtype) for values in (middle, [*middle, least])]
        for tensor, norm in zip(tensors, compiled(compute_norms)(tensors), strict=True):
            assert_norm(norm, sum_of_squares(tensor), dtype)

    def test_extremes(self) -> None:
        tensors = [torch.tensor(values) for values in ([1e20] * 3, [1e-30] * 3, [1e38], [1e-45])]
        for tensor, norm in zip(tensors, compiled(compute_norms)(tensors), strict=True):
            assert_norm(norm, sum_of_squares(tensor), torch.float32)

    def test_tracked_tensors(self) -> None:
        tensors = [torch.tensor(row, requires_grad=True) for row in ROWS]
        torch.autograd.backward(torch.stack(compiled(compute_norms)(tensors)).sum())
        gradients = [tensor.grad for tensor in tensors]
        for tensor, gradient, size in zip(tensors, gradients, SIZES, strict=True):
            assert gradient is not None
            assert gradient.tolist() == pytest.approx((tensor / size).tolist())


@pytest.fixture(scope="module")
def _one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    from torch.distributed import FileStore  # type: ignore[attr-defined]  # noqa: PLC0415

    store = FileStore(str(tmp_path_factory.mktemp("store") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def distributed_tensors() -> SimpleNamespace:
    try:
        module: Any = importlib.import_module("torch.distributed._tensor")
        types: Any = importlib.import_module("torch.distributed._tensor.placement_types")
    except ImportError as error:
        pytest.skip(f"this release has no DTensor: {error}")
    return SimpleNamespace(
        DTensor=module.DTensor,
        DeviceMesh=module.DeviceMesh,
        distribute=module.distribute_tensor,
        Shard=module.Shard,
        Replicate=module.Replicate,
        Partial=getattr(types, "Partial", None) or getattr(types, "_Partial", None),
    )


@pytest.mark.filterwarnings("ignore")  # torch's own, which differ by release
@pytest.mark.usefixtures("_one_process")
class TestSharded:
    @pytest.fixture
    def api(self) -> SimpleNamespace:
        return distributed_tensors()

    @pytest.fixture
    def mesh(self, api: SimpleNamespace) -> object:
        return api.DeviceMesh("cpu", [0])

    @pytest.mark.parametrize("placement", ["Shard(0)", "Shard(1)", "Replicate()", "Partial()"])
    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
    )
    def test_norms_are_those_of_the_whole(
        self,
        api: SimpleNamespace,
        mesh: object,
        placement: str,
        dtype: torch.dtype,
    ) -> None:
        name, _, place = placement.strip(")").partition("(")
        places = [getattr(api, name)(*map(int, filter(None, [place])))]
        fulls = [torch.arange(1.0, n + 1).reshape(-1, 3).to(dtype) for n in (12, 6, 12, 3)]
        if (dtype, name) == (torch.bfloat16, "Partial") and torch.__version__.startswith("2.0."):
            pytest.skip("gloo of torch 2.0 cannot add up bfloat16")
        tensors = [api.DTensor.from_local(full, mesh, places, run_check=False) for full in fulls]
        norms = compute_norms(tensors)
        for norm, full in zip(norms, fulls, strict=True):
            assert_norm(norm, sum_of_squares(full), dtype)

    @pytest.mark.parametrize("placement", ["Shard", "Replicate"])
    def test_norms_are_plain_and_differentiable(
        self, api: SimpleNamespace, mesh: object, placement: str
    ) -> None:
        places = [api.Shard(0)] if placement == "Shard" else [api.Replicate()]
        tensor = api.DTensor.from_local(torch.tensor([[3.0, 4.0]]), mesh, places)
        tensor.requires_grad_()
        (norm,) = compute_norms([tensor])
        assert type(norm) is Tensor
        torch.autograd.backward(2 * norm)
        assert tensor.grad.to_local().tolist() == [pytest.approx([1.2, 1.6])]

    def test_an_empty_tensor_has_no_smallest_element(
        self, api: SimpleNamespace, mesh: object
    ) -> None:
        tensor = api.DTensor.from_local(torch.zeros(0, 2), mesh, [api.Shard(0)])
        assert compute_norms([tensor])[0].item() == 0
        with pytest.raises(NormError, match="tensor 0 is empty"):
            compute_norms([tensor], -math.inf)

    @pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
    def test_squares_may_leave_the_range(
        self, api: SimpleNamespace, mesh: object, scale: float
    ) -> None:
        full = torch.tensor([[3.0, 4.0], [12.0, 84.0]]) * scale
        (norm,) = compute_norms([api.DTensor.from_local(full, mesh, [api.Shard(0)])])
        assert_norm(norm, sum_of_squares(full), torch.float32)

    def test_beside_plain_tensors_and_other_placements(
        self, api: SimpleNamespace, mesh: object
    ) -> None:
        full = torch.tensor([[3.0, 4.0]])
        shards = [
            api.DTensor.from_local(full * n, mesh, [place])
            for n, place in enumerate((api.Shard(0), api.Replicate()), 1)
        ]
        norms = compute_norms([full * 3, shards[0], full * 4, shards[1], full * 5])
        assert [norm.item() for norm in norms] == [15, 5, 20, 10, 25]

    @pytest.mark.parametrize("enhanced", [False, True])
    def test_health_of_sharded_gradients(
        self, api: SimpleNamespace, mesh: object, *, enhanced: bool
    ) -> None:
        parameters = [
            torch.nn.Parameter(api.DTensor.from_local(torch.zeros(1, 2), mesh, [api.Shard(0)]))
            for _ in ROWS
        ]
        for parameter, row in zip(parameters, ROWS, strict=True):
            parameter.grad = api.DTensor.from_local(torch.tensor([row]), mesh, [api.Shard(0)])
        if enhanced:
            metrics = collect_seed_gradients(parameters, return_enhanced=True)
            assert (metrics.min_layer_norm, metrics.max_layer_norm) == (5, 13)
            norm = metrics.gradient_norm
        else:
            norm = collect_seed_gradients(parameters)["gradient_norm"]
        assert norm == pytest.approx(math.hypot(*SIZES))

    @pytest.mark.parametrize("original", [False, True])
    def test_flat_fully_sharded_gradients(self, *, original: bool) -> None:
        fsdp = pytest.importorskip("torch.distributed.fsdp")
        reference = model()
        try:
            sharded = fsdp.FullyShardedDataParallel(
                model(), device_id=torch.device("cpu"), use_orig_params=original
            )
            train(sharded)
        except (RuntimeError, ValueError, AssertionError) as error:
            pytest.skip(f"this release cannot shard without an accelerator: {error}")
        train(reference)
        gradients = [parameter.grad for parameter in sharded.parameters()]
        norms = compute_norms([gradient for gradient in gradients if gradient is not None])
        assert norms
        (found,) = compute_norms([torch.stack(norms)])
        assert found.item() == pytest.approx(total_norm(reference))
        stats = collect_seed_gradients(sharded.parameters())
        assert stats["gradient_norm"] == pytest.approx(total_norm(reference))

    def test_fully_sharded_gradients(self) -> None:
        fsdp = pytest.importorskip("torch.distributed.fsdp")
        if not hasattr(fsdp, "fully_shard"):
            pytest.skip("this release has no public fully_shard")
        meshes = pytest.importorskip("torch.distributed.device_mesh")
        reference, sharded = model(), model()
        try:
            fsdp.fully_shard(sharded, mesh=meshes.init_device_mesh("cpu", (1,)))
            train(sharded)
        except RuntimeError as error:
            pytest.skip(f"this release cannot shard without an accelerator: {error}")
        train(reference)
        gradients = [parameter.grad for parameter in sharded.parameters()]
        norms = compute_norms([gradient for gradient in gradients if gradient is not None])
        expected = [p.grad.norm().item() for p in reference.parameters() if p.grad is not None]
        assert [norm.item() for norm in norms] == pytest.approx(expected)
        assert len(norms) == 4
        stats = collect_seed_gradients(sharded.parameters())
        assert stats["gradient_norm"] == pytest.approx(total_norm(reference))


def model() -> torch.nn.Module:
    torch.manual_seed(5)
    return torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))


def train(module: torch.nn.Module) -> None:
    module(torch.linspace(-1, 1, 20).reshape(4, 5)).square().sum().backward()


def total_norm(module: torch.nn.Module) -> float:
    return math.hypot(
        *(p.grad.double().norm().item() for p in module.parameters() if p.grad is not None)
    )


# Shards of 2 rows and 1, an empty one, one of copies, and terms of a sum; some squares overflow.
TWO_PROCESSES = """
import json, math, sys, warnings
warnings.simplefilter("ignore")
import torch, torch.distributed as dist
from gradnorms import collect_seed_gradients, compute_norms
from tests.gradnorms.test_tensors import distributed_tensors
rank = int(sys.argv[2])
store = dist.FileStore(sys.argv[1], 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
api = distributed_tensors()
mesh = api.DeviceMesh("cpu", [0, 1])
wholes = [
    (torch.tensor([[3.0, 4.0], [0.0, 0.0], [12.0, 84.0]]), api.Shard(0)),
    (torch.tensor([[3e20, 4e20], [12e20, 84e20]]), api.Shard(1)),
    (torch.tensor([[3.0, 4.0], [12.0, 84.0]]).half(), api.Shard(0)),
    (torch.tensor([[5.0, 12.0]]), api.Shard(0)),
    (torch.tensor([3.0, 0.0]), api.Replicate()),
]
tensors = [api.distribute(whole, mesh, [place]) for whole, place in wholes]
terms = torch.tensor([[3.0, 4.0], [-3.0, 4.0]])[rank]
tensors.append(api.DTensor.from_local(terms, mesh, [api.Partial()], run_check=False))
found = {
    str(order): [norm.item() for norm in compute_norms([torch.ones(4), *tensors], order)]
    for order in (2, 1, 0, math.inf, -math.inf)
}
parameters = [torch.nn.Parameter(tensor.detach()) for tensor in tensors]
for parameter, tensor in zip(parameters, tensors):
    parameter.grad = tensor
health = collect_seed_gradients(parameters, return_enhanced=True)
found["health"] = [health.zero_grad_fraction, health.nan_count, health.max_layer_norm]
print(json.dumps(found))
dist.barrier()
dist.destroy_process_group()
"""


def test_norms_of_shards_of_two_processes_are_those_of_the_whole(tmp_path: Path) -> None:
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    distributed_tensors()
    if torch.__version__.startswith("2.0."):
        pytest.skip("torch 2.0 cannot shard a tensor unevenly")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "store"), str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    size = math.hypot(3, 4, 12, 84)
    half = torch.tensor(size).half().item()
    expected = {
        "2": [2, size, size * 1e20, half, 13, 3, 8],
        "1": [4, 103, 103e20, 103, 17, 3, 8],
        "0": [4, 4, 4, 4, 2, 1, 1],
        "inf": [1, 84, 84e20, 84, 12, 3, 8],
        "-inf": [1, 0, 3e20, 3, 5, 0, 0],
        "health": [4 / 20, 0, size * 1e20],
    }
    for out, errors in outputs:
        assert out, errors
        found = json.loads(out.splitlines()[-1])  # gloo prints there, too
        assert found == {key: pytest.approx(value) for key, value in expected.items()}
