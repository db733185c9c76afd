"""What runs in the function of the baseline ``torch-unsplit``: the usual worker around a torch module.

Its graph file holds MODULE:CALLABLE. The module is run in evaluation mode without gradients, on views of shared
memory; its answers are copied there, as torch makes tensors of its own.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils import _pytree

from mopar.capture import load_callable
from mopar.runtime import worker
from mopar.runtime.engine import OrtError, Tensor
from mopar.runtime.mapped import MappedFiles
from mopar.types import MoparError, dtype_of_code, dtype_of_name


class TorchEngine:
    """In place of ONNX Runtime.

    Args:
        _library: ONNX Runtime's, which is not loaded.
        threads: of an operator.
    """

    def __init__(self, _library: str, threads: int) -> None:
        self.mapped = MappedFiles()
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def load(self, path: str, _inputs: tuple[str, ...], outputs: tuple[str, ...], **_options: bool) -> "TorchSession":
        """The module that ``path`` names. Raises OrtError where it cannot be made."""
        try:
            made = load_callable(Path(path).read_text().strip())
        except MoparError as error:
            raise OrtError(str(error)) from error
        module = made.eval() if isinstance(made, torch.nn.Module) else made.module()
        return TorchSession(module, len(outputs))


class TorchSession:
    """A module that takes its inputs in the model's order."""

    def __init__(self, module: torch.nn.Module, count: int) -> None:
        self._module = module
        self._count = count

    def bind(self, inputs: list[Tensor], outputs: list[Tensor | None]) -> "TorchBound":
        """The module on these tensors. Raises OrtError for strings."""
        return TorchBound(self, [_view(tensor) for tensor in inputs], outputs)

    @torch.inference_mode()
    def run(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run once. Raises OrtError where torch refuses the inputs, or gives another number of tensors."""
        try:
            answer: object = self._module(*inputs)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
            raise OrtError(f"torch: {' '.join(str(error).split())}") from error
        made = [leaf for leaf in _pytree.tree_leaves(answer) if isinstance(leaf, torch.Tensor)]
        if len(made) != self._count:
            raise OrtError(f"the torch module gives {len(made)} tensors, the model {self._count}")
        return made


class TorchBound:
    """A module's inputs, and where its outputs go."""

    def __init__(self, session: TorchSession, inputs: list[torch.Tensor], outputs: list[Tensor | None]) -> None:
        self._session, self._inputs, self._outputs = session, inputs, outputs
        self._tensors: list[torch.Tensor] = []
        self.pending = [i for i, place in enumerate(outputs) if place is None]
        self.lasting = not self.pending

    def run(self) -> None:
        """Run once. Raises OrtError where torch refuses the inputs, or answers otherwise than the model does."""
        self._tensors = self._session.run(self._inputs)
        for tensor, place in zip(self._tensors, self._outputs, strict=True):
            if place is not None:
                _put(tensor, place)

    def describe(self, index: int) -> Tensor:
        """Type, shape, address and size of an output."""
        tensor = self._tensors[index]
        code = dtype_of_name(str(tensor.dtype).removeprefix("torch.")).code
        return Tensor(code, tuple(tensor.shape), tensor.data_ptr(), tensor.nbytes)

    def copy(self, index: int, address: int) -> None:
        """Copy an output to ``address``."""
        tensor = self._tensors[index].contiguous()
        ctypes.memmove(address, tensor.data_ptr(), tensor.nbytes)

    def close(self) -> None:
        """Let go of the tensors."""
        self._tensors, self._inputs = [], []


def _view(tensor: Tensor) -> torch.Tensor:
    """A tensor of torch on the memory itself. Raises OrtError for strings."""
    name = dtype_of_code(tensor.code).name
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise OrtError(f"torch has no {name} tensors")
    if tensor.nbytes == 0:
        return torch.empty(tensor.shape, dtype=dtype)
    memory = (ctypes.c_char * tensor.nbytes).from_address(tensor.address)
    return torch.frombuffer(memory, dtype=dtype).reshape(tensor.shape)


def _put(tensor: torch.Tensor, place: Tensor) -> None:
    view = _view(place)
    if tensor.shape != view.shape or tensor.dtype != view.dtype:  # copy_ would broadcast and convert
        given = f"{tensor.dtype}{list(tensor.shape)}"
        raise OrtError(f"the torch module gives {given}, the model {view.dtype}{list(view.shape)}")
    view.copy_(tensor)


def main() -> None:
    """Serve as ``mopar.runtime.worker`` does."""
    worker.main(TorchEngine)
