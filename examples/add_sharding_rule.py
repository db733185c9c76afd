"""Teach mopar how an operator splits into parallel parts: ``python -m examples.add_sharding_rule``.

ArgMax has no rule, so a part that needs some rows of its answer computes all of them. `docs/sharding.md` tells what a
rule is asked; one for everybody goes to ``src/mopar/sharding/rules/`` with a test in ``tests/sharding/``.
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
    """A piece along another axis than the one looked through needs that piece alone of the input."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.axis is None or not shape or view.attribute("keepdims", 1) != 1:
        return None  # None: I know no better, the part computes the whole
    looked_through = view.attribute("axis", 0) % len(shape)
    return Sharded((piece,), (piece,)) if piece.axis != looked_through else None


def main() -> None:
    """What each of two parts takes without the rule and with it; the two answers together equal the whole's."""
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
    print("the parts' answers together are the whole's")


def run(model: ir.Model, scores: np.ndarray) -> np.ndarray:
    """The model's answer."""
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["best"], {"scores": scores})[0])


if __name__ == "__main__":
    main()
