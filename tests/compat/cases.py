"""What compute_norms and the raw operator are both held to: inputs in plain Python, by row.

A case is one call. Its capability names the row of the table that it is evidence for.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from reference import Extended, Numbers, exact_numbers, random_numbers, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator


class Dtype(NamedTuple):
    """A dtype that has norms.

    Attributes:
        bits: of its significand.
        real: name of the dtype of its norms.
        tolerance: largest relative error of a norm: just over half a unit in the last place for
            the half types, the promise for the others.
        smallest: exponent of its smallest denormal number.
        largest: its largest number.
    """

    bits: int
    real: str
    tolerance: float
    smallest: int
    largest: float


DTYPES = {
    "float32": Dtype(24, "float32", 1e-6, -149, 3.4028234663852886e38),
    "float64": Dtype(53, "float64", 1e-14, -1074, sys.float_info.max),
    "float16": Dtype(11, "float16", 5e-4, -24, 65504.0),
    "bfloat16": Dtype(8, "bfloat16", 4e-3, -133, 3.3895313892515355e38),
    "complex64": Dtype(24, "float32", 1e-6, -149, 3.4028234663852886e38),
    "complex128": Dtype(53, "float64", 1e-14, -1074, sys.float_info.max),
}

SHAPES = ((1,), (7,), (3, 5), (64,), (2, 3, 4), (1000,))
# Sums of many roots leave the range of float16: those orders get fewer entries.
SMALL_SHAPES = ((1,), (7,), (3, 5), (2, 3, 4))


@dataclass(frozen=True)
class Entry:
    """One tensor of a list.

    Attributes:
        dtype: its name.
        numbers: its entries.
        shape: None for one dimension.
        layout: how it lies in memory, a name that ``tensors.LAYOUTS`` knows.
    """

    dtype: str
    numbers: Numbers | Extended
    shape: tuple[int, ...] | None = None
    layout: str = "plain"


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        capability: the row.
        name: what is special, for the probe's identifier.
        entries: the tensors.
        order: the norm's.
        dtype: the ``dtype=`` argument, "" for none.
    """

    capability: str
    name: str
    entries: tuple[Entry, ...]
    order: float = 2
    dtype: str = ""

    def result_dtype(self, entry: Entry) -> str:
        """Return the name of the dtype that the norm of an entry is due in."""
        return DTYPES[self.dtype or entry.dtype].real

    def tolerance(self, entry: Entry) -> float:
        """Return the largest relative error of the norm of an entry."""
        return DTYPES[self.result_dtype(entry)].tolerance

    def rounded_norm(self, entry: Entry) -> float:
        """Return the norm of an entry, correctly rounded to the dtype that it is due in."""
        due = DTYPES[self.result_dtype(entry)]
        return rounded(entry.numbers.norm(self.order), due.bits, due.smallest, due.largest)


def entry(dtype: str, shape: tuple[int, ...], layout: str = "plain", seed: int = 0) -> Entry:
    """Return a tensor of random entries whose parts lie between -1 and 1."""
    bits, count = DTYPES[dtype].bits, math.prod(shape)
    is_complex = dtype.startswith("complex")
    numbers = random_numbers(seed + count, count, bits, -bits, is_complex=is_complex)
    return Entry(dtype, numbers, shape, layout)


def scaled(dtype: str, exponent: int, count: int = 50, copies: int = 1) -> Entry:
    """Return a tensor whose largest entries are about 2 ** exponent."""
    bits = DTYPES[dtype].bits
    is_complex = dtype.startswith("complex")
    numbers = random_numbers(count, count, bits, exponent - bits, copies, is_complex=is_complex)
    return Entry(dtype, numbers)


def mixed(entries: tuple[Entry, ...]) -> Entry:
    """Return a tensor of the numbers of several."""
    values = [value for each in entries for value in each.numbers.reals()]
    return Entry(entries[0].dtype, exact_numbers(values))


def triangle(dtype: str, exponent: int) -> Entry:
    """Return (3, 4) times 2 ** exponent, whose norm, 5 times that, every dtype has exactly."""
    return Entry(dtype, Numbers(((3, 0), (-4, 0)), exponent))


def _dtypes() -> Iterator[Case]:
    for dtype in DTYPES:
        yield Case(dtype, dtype, tuple(entry(dtype, shape) for shape in SHAPES))


ORDERS = {
    "ord=0": (0,),
    "ord=1": (1,),
    "ord=2": (2.0,),
    "ord=3": (3,),
    "ord=inf": (math.inf,),
    "ord=-inf": (-math.inf,),
    "other orders": (0.5, 1.1, 2.5, 4, 7, -1, -2),
}


def _orders() -> Iterator[Case]:
    for capability, orders in ORDERS.items():
        for order in orders:
            for dtype in DTYPES:
                entries = tuple(entry(dtype, shape) for shape in SMALL_SHAPES)
                yield Case(capability, f"{dtype}-{order}", entries, order)


def _wider() -> Iterator[Case]:
    pairs = (
        ("float32", "float64"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("complex64", "complex128"),
    )
    for narrow, wide in pairs:
        entries = tuple(entry(narrow, shape) for shape in SHAPES)
        yield Case("dtype=", f"{narrow}-{wide}", entries, dtype=wide)


def _shapes() -> Iterator[Case]:
    for dtype in ("float32", "float16", "complex64"):
        scalars = tuple(entry(dtype, (), seed=seed) for seed in range(3))
        yield Case("0-d tensor", dtype, scalars)
        some = (entry(dtype, (0,)), entry(dtype, (5,)), entry(dtype, (3, 0)), entry(dtype, (7,)))
        for order in (2, 1, 0):
            yield Case("empty tensor", f"{dtype}-{order}", some, order)
    yield Case("empty tensor", "nothing else", (entry("float32", (0,)),))


def _layouts() -> Iterator[Case]:
    for dtype in ("float32", "float64", "bfloat16", "complex64"):
        for layout in ("transposed", "strided", "offset", "flipped", "channels last"):
            shape = (2, 3, 4, 5) if layout == "channels last" else (6, 4)
            entries = (entry(dtype, (5,)), entry(dtype, shape, layout))
            yield Case("non-contiguous", f"{dtype}-{layout}", entries)
        repeated = replace(entry(dtype, (40,)).numbers, copies=3)
        expanded = Entry(dtype, repeated, layout="expanded")
        yield Case("non-contiguous", f"{dtype}-expanded", (expanded,))
    conjugate = (entry("complex64", (6, 4), "conjugate"), entry("complex64", (5,)))
    yield Case("non-contiguous", "complex64-conjugate", conjugate)


def _sparse() -> Iterator[Case]:
    for dtype in ("float32", "float64", "complex64"):
        for layout in ("sparse", "uncoalesced", "csr"):
            entries = (entry(dtype, (6, 4), layout), entry(dtype, (5,)))
            yield Case("sparse", f"{dtype}-{layout}", entries)
    yield Case("sparse", "ord=1", (entry("float32", (6, 4), "uncoalesced"),), 1)


def _mixed() -> Iterator[Case]:
    every = tuple(entry(dtype, shape) for shape in SMALL_SHAPES for dtype in DTYPES)
    for order in (2, 1, math.inf):
        yield Case("mixed dtypes and devices", f"dtypes-{order}", every, order)


def _magnitudes() -> Iterator[Case]:
    # Powers of two, in decimal: 2**66 is about 1e20, 2**100 about 1e30, 2**-67 about 1e-20.
    large = {
        "float32": (66, 100, 124),
        "float64": (600, 1000),
        "float16": (13,),
        "bfloat16": (100,),
    }
    small = {"float32": (-67, -100), "float64": (-600, -960), "float16": (-9,), "bfloat16": (-100,)}
    for name, exponents in (("large", large), ("small", small)):
        for dtype, values in {**exponents, "complex64": exponents["float32"][1:2]}.items():
            entries = tuple(
                scaled(dtype, exponent, 40 if dtype == "float16" else 50) for exponent in values
            )
            yield Case(f"{name} magnitudes", dtype, (*entries, entry(dtype, (5,))))
    # Powers of these leave the range of float64.
    for name, exponent in (("large", 120), ("small", -100)):
        for order in (10, -10):
            yield Case(f"{name} magnitudes", f"ord={order}", (scaled("float32", exponent),), order)
    for dtype in ("float32", "float64", "float16", "bfloat16", "complex64"):
        # Denormal numbers: few, whose norm is denormal too, and many, whose norm is not.
        smallest, bits = DTYPES[dtype].smallest, DTYPES[dtype].bits
        many = random_numbers(7, 512, bits - 3, smallest, 32, is_complex=dtype == "complex64")
        entries = (triangle(dtype, smallest), Entry(dtype, many))
        yield Case("small magnitudes", f"{dtype}-denormal", entries)
    for dtype, steps in (("float32", range(-120, 124, 12)), ("float64", range(-1000, 1000, 100))):
        # In one list, and in one tensor.
        scales = tuple(scaled(dtype, exponent) for exponent in steps)
        yield Case("large magnitudes", f"{dtype}-mixed", (*scales, mixed(scales)))


def _sizes() -> Iterator[Case]:
    for dtype in ("float32", "float64", "float16", "bfloat16", "complex64"):
        yield Case("a million elements", dtype, (scaled(dtype, 0, 1000, 1049),))
    for order in (1, 3):
        yield Case(
            "a million elements", f"float32-{order}", (scaled("float32", 0, 1000, 1049),), order
        )
    yield Case("a million elements", "sixteen", (scaled("float32", 0, 1000, 16777),))
    for dtype in ("float16", "bfloat16"):
        yield Case("a million elements", f"{dtype}-ten", (scaled(dtype, 0, 1000, 10007),))
    for value in (0x800001, 0xAAAAAB, 0xB504F3, 0xFFFFFF):
        # Where every sum rounds alike, errors add up.
        alike = Numbers(((value, 0),), -23, 2**20)
        yield Case("a million elements", f"all {value:#x}", (Entry("float32", alike),))
    yield Case("a million elements", "in a thousand tensors", (scaled("float32", 0, 1049),) * 1000)


def _alike() -> Iterator[Case]:
    shapes = ((30,), (3, 10), (), (1009,), (40, 50))
    for dtype in ("float32", "float64", "float16", "bfloat16", "complex64"):
        entries = tuple(entry(dtype, shape, seed=seed) for seed in range(5) for shape in shapes)
        yield Case("equal shapes", dtype, entries)


def _ties() -> Iterator[Case]:
    """Yield half types' norms in the middle of two numbers, and a trace above and below it."""
    # 2048^2 + 64^2 + 1 = 2049^2, and 256^2 + 22^2 + 5^2 + 2^2 = 257^2.
    for dtype, squares in (("float16", (2048, 64, 1)), ("bfloat16", (256, 22, 5, 2))):
        less = (*squares[:-1], squares[-1] - 2.0 ** (2 - DTYPES[dtype].bits))
        for name, values in (
            ("on", squares),
            ("above", (*squares, 2.0**-20)),
            ("far above", (*squares, *[2.0**-14] * 4096)),
            ("below", less),
        ):
            entries = (Entry(dtype, exact_numbers(values)), entry(dtype, (5,)))
            yield Case("correct rounding", f"{dtype}-{name}", entries)


def _unbounded() -> Iterator[Case]:
    inf, nan = math.inf, math.nan
    values = {
        "nan": (1.0, nan, 3.0),
        "inf": (1.0, -inf),
        "both": (inf, nan, 2.0),
        "all": (inf, inf),
    }
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        for order in (2, 1, 3, 0, inf, -inf):
            entries = (
                *(Entry(dtype, Extended(each)) for each in values.values()),
                entry(dtype, (5,)),
            )
            yield Case("NaN and infinity", f"{dtype}-{order}", entries, order)


def _differentiable() -> Iterator[Case]:
    entries = (entry("float32", (5,), "leaf"), entry("float32", (3, 4), "not leaf"))
    yield Case("requires_grad", "mixed", (*entries, entry("float32", (7,))))
    yield Case("requires_grad", "parameters", (entry("float32", (3, 4), "parameter"),) * 2)


CASES = (
    *_dtypes(),
    *_orders(),
    *_wider(),
    *_shapes(),
    *_layouts(),
    *_sparse(),
    *_mixed(),
    *_magnitudes(),
    *_sizes(),
    *_alike(),
    *_ties(),
    *_unbounded(),
    *_differentiable(),
)
