"""``python -m tests.models NAME -o FILE.onnx`` writes a reference model, and ``FILE.inputs.npz`` beside it."""

import argparse
import shutil
from pathlib import Path

import numpy as np

from mopar.zoo import inputs_path
from tests.models.registry import MODELS, materialise, sample_inputs


def main() -> None:
    """Write the model that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    options = parser.parse_args()
    made = materialise(options.name)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for file in set(made.parent.iterdir()) - {inputs_path(made)}:
        # External data keeps its name: the model refers to it.
        shutil.copyfile(file, options.output if file == made else options.output.with_name(file.name))
    np.savez(inputs_path(options.output), allow_pickle=False, **sample_inputs(options.name, options.seed))


if __name__ == "__main__":
    main()
