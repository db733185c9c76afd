"""Resident memory of a function at each stage of its start, beside the usual Python binding of ONNX Runtime.

    python -m benchmarks.footprint [--model mlp] [--starts 5] [--json FILE]

Both load the same packed graph with the same options in separate processes with the same environment, run it once, and
release what only start-up needed in the same way. Resident memory counts shared pages in full: anon is what the process
wrote, file what it maps. Every function of a plan pays this, which is why the runtime binds the C API with ctypes, and
why a test guards its imports (docs/decisions/engine-binding.md).
"""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

import mopar
from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.engine.prepack import pack_graph
from mopar.graph import load_model
from mopar.platforms.local.library import engine_library
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import PACKED_OPTIONS, dtype_of_name
from tests.models import MODELS, materialise, sample_inputs

# Common beginning of both processes: each stage's figures are read from the kernel, and kept until the end.
REPORT = """
import sys
sys.path.insert(0, sys.argv[1])
seen = []
def stage(name):
    with open("/proc/self/status") as lines:
        rows = dict(line.split(":", 1) for line in lines)
    seen.append((name, *(int(rows[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))))
stage("interpreter")
"""
WORKER = """
import mopar.runtime.worker
stage("modules")
from mopar.runtime import engine
kept = engine.Api(sys.argv[2])
stage("library")
made = engine.Engine(sys.argv[2], 1)
stage("environment")
import ctypes
from mopar.runtime.trim import trim_heap
names = tuple(name for name, *_ in inputs)
session = made.load(sys.argv[3], names, outputs, optimize=False, prepack=True, arena=False, memory_pattern=False)
stage("session")
trim_heap()
made.mapped.loaded()
stage("trimmed")
buffers = [ctypes.create_string_buffer(size) for *_, size in inputs]
given = [
    engine.Tensor(code, shape, ctypes.addressof(buffer), size)
    for (_, code, _, shape, size), buffer in zip(inputs, buffers)
]
def run(name):
    bound = session.bind(given, [None] * len(outputs))
    bound.run()
    bound.close()
    made.mapped.called()
    stage(name)
run("first run")
run("second run")
print(seen)
"""
BINDING = """
import numpy
stage("numpy")
import onnxruntime
stage("onnxruntime")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.enable_cpu_mem_arena = options.enable_mem_pattern = False
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(sys.argv[3], options, providers=["CPUExecutionProvider"])
stage("session")
from mopar.runtime.mapped import MappedFiles
from mopar.runtime.trim import trim_heap
trim_heap()
mapped = MappedFiles()
mapped.loaded()
stage("trimmed")
def run(name):
    session.run(None, {name: numpy.zeros(shape, dtype) for name, _, dtype, shape, _ in inputs})
    mapped.called()
    stage(name)
run("first run")
run("second run")
print(seen)
"""
KINDS = {"mopar's worker": (("-I", "-S", "-B"), WORKER), "usual binding": (("-I", "-B"), BINDING)}
Stages = list[tuple[str, float, float]]


def start(kind: str, graph: Path, name: str) -> Stages:
    """Run one process; return anonymous and file-backed MiB at every stage."""
    flags, code = KINDS[kind]
    model = load_model(materialise(name))
    values = sample_inputs(name)
    described = [
        (spec.name, dtype_of_name(spec.dtype).code, spec.dtype, values[spec.name].shape, values[spec.name].nbytes)
        for spec in model.inputs
    ]
    # Literals in the code: parsing them in the process would load another module.
    known = f"inputs = {described!r}\noutputs = {tuple(spec.name for spec in model.outputs)!r}\n"
    arguments = [str(Path(mopar.__file__).parents[1]), str(engine_library()), str(graph)]
    command = [sys.executable, *flags, "-c", known + REPORT + code, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=True)
    stages: Stages = ast.literal_eval(done.stdout)
    return stages


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", choices=list(MODELS), default="mlp", help="a reference model (default: mlp)")
    arguments.add_argument("--starts", type=int, default=5, help="of each kind, interleaved (default: 5)")
    options = arguments.parse_args()
    say_where(0)
    raw: dict[str, list[Stages]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="mopar-footprint-") as folder:
        graph, *_ = pack_graph(materialise(options.model), Path(folder) / "packed.onnx", PACKED_OPTIONS)
        for _ in range(options.starts):
            for kind, starts in raw.items():
                starts.append(start(kind, graph, options.model))
    rows = []
    for kind, starts in raw.items():
        for number, (name, *_) in enumerate(starts[0]):
            anon = [stages[number][1] for stages in starts]
            file = [stages[number][2] for stages in starts]
            both = [one + other for one, other in zip(anon, file, strict=True)]
            rows.append((kind, name, spread(both).text(".1f"), spread(anon).text(".1f"), spread(file).text(".1f")))
    table(("process", "stage", "resident MiB", "of it anon", "of it file"), rows)
    print(f"{options.starts} starts each with {options.model}; p50 [p25, p75]")
    write_raw(options.json, "footprint", {"seed": 0, "model": options.model, "stages_mib": raw})


if __name__ == "__main__":
    main()
