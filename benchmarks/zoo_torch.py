"""The zoo's models as torch serves them, for `mopar bench --torch benchmarks.zoo_torch:resnet50`.

    python -m benchmarks.zoo_torch resnet50

writes a model's weights in torch's own format first. Names are the zoo's with ``_`` in place of ``-``. A module is made
without memory for its weights, which are then mapped from that file: nothing is held twice. It imports torch and what
the module itself needs, as all imports of a function count in its memory.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch

FOLDER = Path(__file__).parents[1] / ".cache" / "benchmarks"


def __getattr__(name: str) -> Callable[[], torch.nn.Module]:
    """What makes the module of that name."""
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda: _module(name.replace("_", "-"))


def _module(name: str) -> torch.nn.Module:
    """The module with the weights that ``write_weights`` wrote, mapped from their file."""
    from mopar.zoo import find_model
    from mopar.zoo.build import bare_module

    with torch.device("meta"):
        made = bare_module(find_model(name))
    for key, tensor in torch.load(_file(name), mmap=True, weights_only=True).items():
        owner, _, last = key.rpartition(".")
        module = made.get_submodule(owner)
        parameter = last in dict(module.named_parameters(recurse=False, remove_duplicate=False))
        setattr(module, last, torch.nn.Parameter(tensor, requires_grad=False) if parameter else tensor)
    return made.eval()


def write_weights(name: str) -> None:
    """Write the weights of a reference model, prepared as in its ONNX file, and its buffers."""
    from mopar.zoo import find_model
    from mopar.zoo.build import build_module

    made = build_module(find_model(name))
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Buffers that are no state are made by the constructor, which makes no values here.
    tensors = (*made.named_parameters(remove_duplicate=False), *made.named_buffers(remove_duplicate=False))
    torch.save({key: value.detach() for key, value in tensors}, _file(name))


def _file(name: str) -> Path:
    return FOLDER / f"{name}.pt"


if __name__ == "__main__":
    write_weights(sys.argv[1])
