"""What is known about torch's stubs beyond what its wheels say.

A stub says what is there; that a name is missing from it proves nothing, unless the stub is known
to be complete. These facts come from torch's own sources: tools/pyi/gen_pyi.py writes the stubs of
operators and tensor methods from the table of all operators, and test/test_public_bindings.py
forbids new public names in torch._C since 1.8. What the generator leaves out was listed by
comparing stubs with the running torch of a release of each minor from 1.8 to 2.15.
"""

from __future__ import annotations

import re

from packaging.version import Version

__all__ = ["Knowledge"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Bound by hand in C++, so the table of operators does not have them.
_BY_HAND = re.compile(
    r"_functionalize_.*|_(to|from|is|freeze)_functional_tensor.*|_sync|_from_blob"
    r"|_(enable|disable)_functionalization|_mirror_autograd_meta_to"
)
_OPERATORS_LEFT_OUT = _words(
    """
    _sparse_coo_tensor_unsafe
    align_tensors as_tensor asarray atleast_1d atleast_2d atleast_3d block_diag
    broadcast_tensors cartesian_prod cdist chain_matmul clamp_ einsum from_numpy frombuffer
    get_device meshgrid norm numel range saddmm split stft tensor tensordot
    unique_consecutive unique_dim vf
    """
)
_METHODS_LEFT_OUT = _words(
    """
    _fix_weakref _has_symbolic_sizes_strides _make_wrapper_subclass
    _post_accumulate_grad_hooks _python_dispatch _rev_view_func_unsafe _use_count _view_func
    _view_func_unsafe
    cdouble cfloat const_data_ptr grad hpu ipu is_cpu is_hpu is_ipu is_mlc is_mps is_xla is_xpu
    istft mtia
    name norm retains_grad stft volatile xla xpu
    """
)
_PUBLIC_LEFT_OUT = _words(
    """
    AVG SUM ArgumentSpec Capsule Code CompleteArgumentSpec DeepCopyMemoTable
    ExcludeDispatchKeyGuard ExecutionPlan FatalError Gradient LiteScriptModule NumberType
    OperatorInfo PyObjectType
    ScriptClass ScriptClassFunction ScriptDict ScriptDictIterator ScriptDictKeyIterator
    ScriptList ScriptListIterator ScriptObject ScriptObjectProperty StaticModule StaticRuntime
    SymBoolType SymIntType Tag Type Use
    chalf cpp has_mlc get_autocast_ipu_dtype get_autocast_xla_dtype get_num_threads init_num_threads
    is_autocast_ipu_enabled is_autocast_xla_enabled read_vitals set_autocast_ipu_dtype
    set_autocast_ipu_enabled set_autocast_xla_dtype set_autocast_xla_enabled set_vital
    vitals_enabled
    """
)
# Types of tensors and of their elements, which compiled code puts into modules.
_TENSOR_TYPE = re.compile(
    r"(u?int|float|bfloat|complex|quint|qint|bits)[0-9]\w*|bit|chalf"
    r"|(BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short)(Tensor|Storage)|Storage|_mkldnn|sparse_csr"
)
_WITH_TENSOR_TYPES = frozenset({"torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse"})
_OPERATOR_STUBS = frozenset({"torch", "torch._C._VariableFunctions", "torch._VF"})
_TENSOR_CLASSES = frozenset(
    {"torch._C._TensorBase", "torch._C.TensorBase", "torch.Tensor", "torch._C._TensorMeta"}
)


# Stubs went on listing these when they were gone.
_LEFT_BEHIND = re.compile(
    r"\w+StorageBase|Ident|_jit_get_trigger_value|_(en|dis)able_minidumps\w*"
    r"|(CONV_BN|FUSE_ADD|HOIST_CONV|INSERT_FOLD|REMOVE_DROPOUT)\w*|_set_torch_\w+_mode"
)
# Before this release, code put more into torch and its tensors than the table of operators has,
# and the C library wrote into these modules while they were imported.
_CLOSED = Version("1.8")
_SET_BY_C = frozenset(
    {"torch.autograd", "torch.distributed", "torch.distributed.rpc", "torch.distributed.autograd"}
)


class Knowledge:
    """What is known about the stubs of one release.

    Args:
        release: The release; None stands for a new one.
    """

    def __init__(self, release: Version | None = None) -> None:
        self._is_early = release is not None and release < _CLOSED

    def is_complete(self, owner: str, name: str) -> bool:
        """Tell whether a stub that does not list a name proves that the name is not there.

        Args:
            owner: The module or class that the stub describes, by its dotted name.
            name: What it does not list.
        """
        if name.startswith("__"):
            return False
        is_private = name.startswith("_")
        if owner == "torch" and (name in _PUBLIC_LEFT_OUT or (self._is_early and not is_private)):
            return False
        if owner in _OPERATOR_STUBS:
            return not (name in _OPERATORS_LEFT_OUT or _BY_HAND.fullmatch(name))
        if self._is_early:
            return False
        if owner in _TENSOR_CLASSES:
            return name not in _METHODS_LEFT_OUT
        return owner == "torch._C" and not is_private and name not in _PUBLIC_LEFT_OUT

    def is_doubtful(self, module: str, name: str) -> bool:
        """Tell whether a stub that lists a name proves nothing: it may be elsewhere, or gone.

        Args:
            module: The module or class that the stub describes.
            name: What it lists.
        """
        if module == "torch._C":
            is_public = not name.startswith("_")
            return (self._is_early and is_public) or _LEFT_BEHIND.fullmatch(name) is not None
        if module in _TENSOR_CLASSES:
            return name == "storage_type"
        return module in _OPERATOR_STUBS and _BY_HAND.fullmatch(name) is not None

    def is_set_by_c(self, module: str, name: str) -> bool:
        """Tell whether compiled code may put a name into a module written in Python.

        Args:
            module: The module.
            name: What its file does not define.
        """
        if self._is_early and module in _SET_BY_C:
            return True
        return module in _WITH_TENSOR_TYPES and _TENSOR_TYPE.fullmatch(name) is not None
