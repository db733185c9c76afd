"""What codecs of messages save, take and hold, on tensors of models with real weights and real inputs.

    python -m benchmarks.lossless [--models NAME,..] [--inputs 4] [--json FILE]

Of each model the tensors that pass between eight slices of equal time, and its input: bytes of a code per byte, ms per
MiB to encode and to decode. The same of a MiB of normally distributed floats, of which the negative ones are 0 or none
is, also at a higher level of Zstd, and ms per MiB of the checksum. Then the most resident memory of a function that
encodes and decodes that MiB with each codec, beside one that sends it as it is, tensors and codes left out, and how
much of it is of the library's own file.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.common import parser, say_where, table, write_raw
from benchmarks.real_inputs import INPUTS
from mopar.gateway.arrays import Array
from mopar.graph import Model, layers_of
from mopar.pipeline.codecs.calibration import Request, load_calibration
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.profile import measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.codes import codec_library, encoded
from mopar.platforms.http.messages import request_body
from mopar.runtime.lossless import Lossless
from mopar.runtime.variants import VARIANTS
from mopar.types import Profile, TensorCoding, TensorValue
from tests.models import materialise
from tests.platforms.local import graphs
from tests.runtime.http.doors import Client, config, head, opened

_SLICES, _CALLS = 8, 30
_MIB = 1 << 20
_PLATFORM = "container-http"
_HIGHER = "blosc2:zstd-shuffle, level 3"


def main() -> None:
    """Measure all models, and a function's memory."""
    made = parser(__doc__)
    made.add_argument("--models", default=",".join(INPUTS), metavar="NAMES")
    made.add_argument("--inputs", type=int, default=4, metavar="N")
    arguments = made.parse_args()
    say_where(0)
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in filter(None, arguments.models.split(",")):
            raw[name] = _model(name, Path(scratch), arguments.inputs)
        raw["noise"] = _noise()
        raw["checksum"] = _checksum()
        raw["memory"] = _memory(Path(scratch))
    write_raw(arguments.json, "lossless", raw)


def _model(name: str, scratch: Path, count: int) -> dict[str, list[TensorCoding]]:
    inputs = INPUTS[name](max(count, 2))
    path, first = scratch / f"{name}.npz", scratch / f"{name}-first.npz"
    np.savez(path, allow_pickle=False, **inputs)
    np.savez(first, allow_pickle=False, **{key: value[:1] for key, value in inputs.items()})
    model, profile = measure_model(materialise(name), inputs=first)
    requests = load_calibration(path, model.inputs)
    codings = _codings(model, profile, [*requests.fitted, *requests.held_apart])
    tensors = {tensor.name: tensor for tensor in profile.tensors}
    rows = []
    for tensor in _crossing(profile):
        known = {one.text: one for one in codings.get(tensor, [])}
        shown = (known.get(text) for text in VARIANTS)
        texts = ("-" if one is None else _figures(one) for one in shown)
        rows.append((tensor[-28:], f"{tensors[tensor].bytes / _MIB:.2f}", *texts))
    print(f"{name}: bytes of the code per byte, ms per MiB to encode and to decode")
    table(("tensor", "MiB", *(text.removeprefix("blosc2:") for text in VARIANTS)), rows)
    return codings


def _codings(model: Model, profile: Profile, requests: Sequence[Request]) -> dict[str, list[TensorCoding]]:
    boundary = Boundary(model, layers_of(model), profile, requests)
    return boundary.message_offers(MessageCodecs.here(), lambda _tensor, _text: True)


def _crossing(profile: Profile) -> list[str]:
    """The tensors that functions read, first to last."""
    plan = make_plan(profile, PlanOptions(_PLATFORM, uniform=_SLICES, slo_ms=None))
    return list(dict.fromkeys(name for graph in plan.graphs for name in graph.inputs))


def _figures(coding: TensorCoding) -> str:
    return f"{coding.ratio:.2f} {coding.encode_ms_per_mib:.1f} {coding.decode_ms_per_mib:.1f}"


def _noise() -> dict[str, list[TensorCoding]]:
    """Print what codecs do for noise, also one of a level that none of ours has."""
    normal = _normal()
    codecs = MessageCodecs.here()
    found, rows = {}, []
    with patch.dict(VARIANTS, {_HIGHER: (b"zstd", 3, 1)}):
        for text in VARIANTS:
            own = [next(codecs.codings([values], [text]), None) for values in (np.maximum(normal, 0.0), normal)]
            found[text] = [one for one in own if one is not None]
            rows.append((text, *("-" if one is None else _figures(one) for one in own)))
    print("a MiB of noise: bytes of the code per byte, ms per MiB to encode and to decode")
    table(("codec", "rectified", "normal"), rows)
    return found


def _checksum() -> list[float]:
    """Print what the checksum of a code takes, in ms per MiB."""
    data, taken_ms = memoryview(_normal().tobytes()), []
    for _ in range(_CALLS):
        began = time.perf_counter()
        Lossless.checksum(data)
        taken_ms.append((time.perf_counter() - began) * 1e3)
    print(f"the checksum takes {statistics.median(taken_ms):.2f} ms per MiB, at least {min(taken_ms):.2f}")
    return taken_ms


def _normal() -> Array:
    return np.random.default_rng(0).standard_normal((256, 1024), dtype=np.float32)


def _memory(scratch: Path) -> dict[str, tuple[float, float]]:
    """Print the most resident MiB of a function beside its tensors and codes, in calls after the first."""
    graph = graphs.repeat(scratch / "repeat.onnx", "x", "y", "float32", (256, 1024))
    noise = np.maximum(_normal(), 0.0)
    value = TensorValue("x", "float32", noise.shape, noise.tobytes())
    found = {text or "as it is": _held(scratch, graph, value, text) for text in ("", *VARIANTS)}
    least, _ = found["as it is"]
    size = codec_library().stat().st_size / _MIB
    print(f"most resident memory of a function, in MiB, tensors and codes left out; the library's file has {size:.2f}")
    rows = [(text, f"{mib:.2f}", f"{mib - least:.2f}", f"{file:.2f}") for text, (mib, file) in found.items()]
    table(("codec", "MiB", "more", "of the file"), rows)
    return found


def _held(scratch: Path, graph: Path, value: TensorValue, text: str) -> tuple[float, float]:
    """The most resident MiB of a function, and those of them that are of the library's file."""
    more = {"lossless": str(codec_library())} if text else {}
    code = encoded(value, text, value.nbytes) if text else None
    body = request_body([value if code is None else code], {"y": text or None})
    with (
        opened(
            config(scratch, graph, {"x": "float32"}, {"y": "float32"}, **{"max_body_bytes": 1 << 24, **more})
        ) as door,
        Client(door.port) as client,
    ):
        door.ready()
        own = Path(f"/proc/{door.process.pid}")
        for number in range(_CALLS):
            client.ask(b"".join([head(sum(map(len, body)), len(body[0])), *body]))
            if number == 0:
                (own / "clear_refs").write_text("5")  # what loading took is forgotten
        lines = (own / "status").read_text().splitlines()
        resident = sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
        of_file = _mapped_mib(door.process.pid, codec_library().name)
    return resident - 2 * (value.nbytes + (0 if code is None else len(code.data))) / _MIB, of_file


def _mapped_mib(pid: int, name: str) -> float:
    """Resident pages of a file in a process."""
    held, here = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            here = name in line
        elif here and line.startswith("Rss:"):
            held += int(line.split()[1])
    return held / 1024


if __name__ == "__main__":
    main()
