"""``python -m tests.models NAME -o FILE.onnx`` writes a reference model, and ``FILE.inputs.npz`` beside it."""

import argparse
import shutil
from pathlib import Path

import numpy as np

from tests.models.registry import MODELS, materialise, sample_inputs


def main() -> None:
    """Write the model that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--build", action="store_true", help="make the model file alone, here and now")
    options = parser.parse_args()
    if options.build:
        MODELS[options.name].build(options.output)
        return
    made = materialise(options.name)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for file in made.parent.iterdir():
        # External data keeps its name: the model refers to it.
        shutil.copyfile(file, options.output if file == made else options.output.with_name(file.name))
    np.savez(options.output.with_suffix(".inputs.npz"), allow_pickle=False, **sample_inputs(options.name, options.seed))


if __name__ == "__main__":
    main()
