"""Serve a model as two functions while a ``with`` block lasts: ``python -m examples.serve_in_process``."""

import json
import tempfile
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import onnxruntime

import mopar
from examples.small_model import ROWS, write_model


def main() -> None:
    """Build, serve, send a request, and compare the output with the reference model's."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(Path(folder) / "small.onnx")
        model = mopar.load(path)
        # Two slices of equal time; without `uniform` the planner decides whether to split at all.
        plan = mopar.plan(mopar.profile(model), mopar.PlanOptions(uniform=2, slo_ms=None))
        bundle = mopar.build(model, plan, Path(folder) / "bundle")
        x = np.random.default_rng(1).standard_normal((ROWS, 256)).astype(np.float32)
        with mopar.serve(bundle) as service:
            with urlopen(service.url, timeout=30) as answer:  # noqa: S310 - our own address
                known = json.load(answer)
            print(f"{known['name']}: {len(plan.functions)} functions, takes {known['inputs']}")
            got = service.infer({"x": x})["y"]
            held = {name: round(parts["held"], 2) for name, parts in service.client.timings.items()}
            print(f"held ms: {held}")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (want,) = session.run(["y"], {"x": x})
        error = float(np.abs(got - want).max() / np.abs(want).max())
        print(f"answers {got.shape}, largest relative error {error:.1e}")
        assert error < 1e-4


if __name__ == "__main__":
    main()
