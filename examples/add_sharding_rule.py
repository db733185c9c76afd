"""Add a sharding rule for an operator: ``python -m examples.add_sharding_rule``.

ArgMax has no rule, so a part that needs some rows of its output computes all of them. ``docs/sharding.md`` defines the
interface of a rule; a rule for everybody goes to ``src/mopar/sharding/rules/`` with a test in ``tests/sharding/``.
"""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from mopar.sharding import Part, Piece, shard_model
from mopar.sharding.rule import Sharded, View, Wanted, rule

MODEL = """
<ir_version: 10, opset_import: ["": 20]>
classes (float[64, 1000] scores) => (int64[64, 1] best) { best = ArgMax <axis = 1> (scores) }
"""


def argmax(view: View, wanted: Wanted) -> Sharded | None:
    """Return the input pieces that a piece of the output needs, which must not cut the reduced axis."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.axis is None or not shape or view.attribute("keepdims", 1) != 1:
        return None  # None: not supported, the part computes the whole
    reduced_axis = view.attribute("axis", 0) % len(shape)
    return Sharded((piece,), (piece,)) if piece.axis != reduced_axis else None


def main() -> None:
    """Print what each of two parts reads without and with the rule; their outputs combined equal the unsplit output."""
    scores = np.random.default_rng(0).standard_normal((64, 1000)).astype(np.float32)
    whole = run(ir.from_proto(onnx.parser.parse_model(MODEL)), scores)
    for known in (False, True):
        if known:
            rule("ArgMax")(argmax)
        answers = []
        for part in (Part(0, 2), Part(1, 2)):
            model = ir.from_proto(onnx.parser.parse_model(MODEL))
            rows = (32 * part.index, 32 * (part.index + 1))
            taken = shard_model(model, {"best": Piece(0, (rows,))}, part)["scores"]
            start, stop = taken.spans[0] if taken.spans else (0, 64)
            print(f"{'with' if known else 'without'} a rule: part {part.index} takes rows {start} to {stop - 1}")
            answers.append(run(model, scores[start:stop]))
        np.testing.assert_array_equal(np.concatenate(answers), whole)
    print("the parts' outputs combined equal the unsplit output")


def run(model: ir.Model, scores: np.ndarray) -> np.ndarray:
    """Return the model's output."""
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["best"], {"scores": scores})[0])


if __name__ == "__main__":
    main()
