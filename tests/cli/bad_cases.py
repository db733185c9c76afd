"""Commands with a mistake: exit code and error message of each."""

import functools
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mopar.platforms import books
from tests.cli import bad_files as bad
from tests.cli.harness import Place
from tests.graph import overdrawn

Arguments = Callable[[Place], Sequence[str | Path]]
Make = Callable[[Place], Path]


@dataclass(frozen=True)
class Case:
    """A command, its exit code, and its error message."""

    name: str
    arguments: Arguments
    says: str
    code: int = 2
    kind: str = "usage"


def profile(name: str, make: Make, says: str, *more: str, kind: str = "model") -> Case:
    return Case(f"profile-{name}", lambda p: ["profile", make(p), "-o", p.room / "p.json", *more], says, kind=kind)


def given(name: str, make: Make, says: str) -> Case:
    """A file of inputs that does not match the towers."""
    return Case(
        f"inputs-{name}",
        lambda p: ["profile", p.model, "--inputs", make(p), "-o", p.room / "p.json"],
        says,
        kind="input",
    )


def plan(name: str, says: str, *more: str, code: int = 2, kind: str = "usage") -> Case:
    return Case(f"plan-{name}", lambda p: ["plan", p.profile, "-o", p.room / "plan.json", *more], says, code, kind)


def priced(name: str, change: Callable[[str], str], says: str, code: int = 2, kind: str = "usage") -> Case:
    """A plan with a changed price book in place of the paper's."""

    def arguments(p: Place) -> Sequence[str | Path]:
        book = p.room / "book.toml"
        book.write_text(change((Path(books.__file__).parent / "books" / "paper.toml").read_text()))
        return ["plan", p.profile, "--prices", book, "-o", p.room / "plan.json"]

    return Case(f"prices-{name}", arguments, says, code, kind)


def file_of(name: str, verb: str, make: Make, says: str, kind: str) -> Case:
    """A wrong profile for ``plan``, or a wrong plan for ``build``."""
    first: Arguments = (lambda p: ["plan", make(p)]) if verb == "plan" else (lambda p: ["build", p.model, make(p)])
    return Case(f"{verb}-{name}", lambda p: [*first(p), "-o", p.room / "out"], says, kind=kind)


def opened(name: str, make: Make, says: str) -> list[Case]:
    """A bundle that each verb on bundles refuses."""
    verbs: dict[str, Arguments] = {
        "verify": lambda p: ["verify", make(p), "--against", p.model],
        "serve": lambda p: ["serve", make(p), "--port", "0"],
        "infer": lambda p: ["infer", make(p), "--inputs", p.inputs, "-o", p.room / "out.npz"],
    }
    return [Case(f"{verb}-{name}", arguments, says, kind="bundle") for verb, arguments in verbs.items()]


def output(name: str, target: Make, says: str) -> list[Case]:
    """A path that a command cannot write its output to."""
    verbs: dict[str, Arguments] = {
        "import": lambda p: ["import", "torch.nn:Identity", "--input", "x=1:float32", "-o", target(p)],
        "zoo": lambda p: ["zoo", "export", "gcn", "-o", target(p)],
        "profile": lambda p: ["profile", p.model, "-o", target(p)],
        "plan": lambda p: ["plan", p.profile, "-o", target(p)],
        "build": lambda p: ["build", p.model, p.plan, "-o", target(p)],
        "infer": lambda p: ["infer", p.bundle, "--inputs", p.inputs, "-o", target(p)],
    }
    return [Case(f"{verb}-output-{name}", arguments, says) for verb, arguments in verbs.items()]


def not_empty(p: Place) -> Path:
    (p.room / "full").mkdir()
    (p.room / "full" / "notes.txt").write_text("keep me")
    return p.room / "full"


MODELS = [
    profile("garbage", bad.written(bytes(range(256)) * 9), r"bad\.onnx: not an ONNX file"),
    profile("empty", bad.written(b""), r"bad\.onnx: not an ONNX file"),
    profile("text", bad.written(b"dear diary\n"), r"bad\.onnx: not an ONNX file"),
    profile("json", bad.written(b'{"ir_version": 8}'), r"bad\.onnx: not an ONNX file"),
    profile("truncated", bad.truncated, r"half\.onnx: not an ONNX file"),
    profile("folder", bad.folder, r"folder\.onnx: Is a directory"),
    profile("missing", bad.missing, r"absent\.onnx: No such file"),
    profile("fifo", bad.fifo, r"pipe\.toml: Not a regular file"),
    profile("device", lambda _: Path("/dev/zero"), r"/dev/zero: Not a regular file"),
    profile("recursive", bad.overdrawn(overdrawn.recursive), r"function local::f0 calls itself"),
    profile("negative-dim", bad.overdrawn(overdrawn.negative_dim), r"input 'x' has a dimension of -3"),
    profile("no-nodes", bad.overdrawn(overdrawn.no_nodes), r"it has no nodes"),
    profile("no-data", bad.overdrawn(overdrawn.weight_that_overflows), r"'w' says to have \d+ elements and brings 0"),
    profile("large", bad.overdrawn(overdrawn.large_input), r"input 'x' of 8589934592 takes 98304 MiB", kind="input"),
    profile(
        "large-predicted", bad.overdrawn(overdrawn.huge_dim), r"input 'x' of \d+x\d+ takes", "--predict", kind="input"
    ),
    profile("weights-missing", bad.external("gone.bin"), r"'gone\.bin'.* is missing; put it beside the model"),
    profile("weights-short", bad.external("w.bin", b"123"), r"'w\.bin'.*too short: 3 bytes.*fetch it again"),
    profile("weights-outside", bad.external("../w.bin", bytes(1 << 20)), r"'\.\./w\.bin'.*leaves the model's folder"),
    profile("weights-absolute", bad.external("/etc/hostname"), r"'/etc/hostname'.*leaves the model's folder"),
    profile("operator", bad.operator("Fancy"), r"ai\.onnx::Fancy.*n1"),
    profile("domain", bad.operator("Fancy", "acme"), r"acme::Fancy.*n1"),
    profile("opset", bad.operator("Relu", opset=999), r"operator\.onnx: ONNX Runtime cannot load it: [^(]*Opset 999"),
    profile("zipmap", bad.zip_map, r"output 'probabilities' is a sequence of maps.*options=\{'zipmap': False\}"),
    profile("map", bad.takes_a_map, r"words\.onnx: the input 'words' holds maps"),
    profile("sequence", bad.takes_a_sequence, r"'parts' is of type Seq.*only tensors"),
    profile("dynamic", bad.dynamic, r"'x' \(batchxseqx16\) has dynamic dimensions: give --input x=SHAPE", kind="input"),
    Case(
        "build-garbage",
        lambda p: ["build", bad.truncated(p), p.plan, "-o", p.room / "b"],
        "half.onnx: not an",
        kind="model",
    ),
    Case("verify-garbage", lambda p: ["verify", p.bundle, "--against", bad.truncated(p)], "half.onnx: ", kind="model"),
    Case("bench-garbage", lambda p: ["bench", bad.truncated(p)], "half.onnx: not an ONNX file", kind="model"),
    Case("up-garbage", lambda p: ["up", bad.truncated(p), "--port", "0"], "half.onnx: not an ONNX", kind="model"),
]

INPUTS = [
    profile("no-shape", bad.dynamic, r"--input x: write NAME=SHAPE", "--input", "x", kind="usage"),
    profile("no-sizes", bad.dynamic, r"'axb' is no shape; write NAME=SHAPE", "--input", "x=axb", kind="usage"),
    profile("negative", bad.dynamic, r"'-1x2x16' is no shape", "--input", "x=-1x2x16", kind="usage"),
    profile("name", bad.dynamic, r"no input 'z'; its inputs are x", "--input", "z=1x2x16", kind="input"),
    profile("no-dtype", bad.dynamic, r"no element type is called 'floaty'", "--input", "x=1x2x16:floaty", kind="usage"),
    profile("dtype", bad.dynamic, r"'x' is float32, not int64", "--input", "x=1x2x16:int64", kind="input"),
    profile("rank", bad.dynamic, r"'x' has rank 3 \(batchxseqx16\), not 2x16", "--input", "x=2x16", kind="input"),
    profile("size", bad.dynamic, r"'x' is batchxseqx16, which 1x2x9 does not fit", "--input", "x=1x2x9", kind="input"),
    profile("twice", bad.dynamic, r"--input x is given twice", *2 * ("--input", "x=1x2x16"), kind="usage"),
    profile(
        "conflict", bad.dynamic_pair, r"'n' is 2 in input 'a' but 3 in 'b'", "--input", "a=2x2", "--input", "b=3x2",
        kind="input",
    ),
    given("missing", bad.missing, r"absent\.onnx: No such file"),
    given("fifo", bad.fifo, r"pipe\.toml: Not a regular file"),
    given("bomb", bad.bomb, r"bomb\.npz: not an \.npz file"),
    given("garbage", bad.written(b"PK\x03\x04 and then nothing", "bad.npz"), r"bad\.npz: not an \.npz file"),
    given("text", bad.written(b"0.1 0.2 0.3", "bad.npz"), r"bad\.npz: not an \.npz file"),
    given("npy", bad.npy, r"bad\.npy: one array without a name"),
    given("pickled", bad.npz(user=np.array([{"a": 1}], object)), r"bad\.npz: not an \.npz file of plain arrays"),
    given("name", bad.npz(usr=np.zeros((1, 16), np.float32)), r"no input 'usr'; its inputs are user, item"),
    given("dtype", bad.npz(user=np.zeros((1, 16))), r"'user' is float32, the given array is float64"),
    given("rank", bad.npz(user=np.zeros(16, np.float32)), r"'user' has rank 2 \(1x16\), not 16"),
]  # fmt: skip

FILES = [
    file_of("garbage", "plan", bad.written(b"\x00\x01", "p.json"), r"p\.json: not a valid profile file", "profile"),
    file_of("empty", "plan", bad.written(b"", "p.json"), r"p\.json: not a valid profile file", "profile"),
    file_of("missing", "plan", bad.missing, r"absent\.onnx: No such file", "profile"),
    file_of("fifo", "plan", bad.fifo, r"pipe\.toml: Not a regular file", "profile"),
    file_of("device", "plan", lambda _: Path("/dev/zero"), r"/dev/zero: Not a regular file", "profile"),
    file_of("fifo", "build", bad.fifo, r"pipe\.toml: Not a regular file", "usage"),
    file_of("folder", "plan", bad.folder, r"folder\.onnx: Is a directory", "profile"),
    file_of("of-another-kind", "plan", lambda p: p.plan, r"plan\.json: not a valid profile file", "profile"),
    file_of(
        "version",
        "plan",
        bad.changed("profile.json", lambda d: {**d, "schema": 99}),
        r"profile\.json: schema version 99, this mopar reads \d+; make the file again",
        "profile",
    ),
    file_of(
        "no-layers",
        "plan",
        bad.changed("profile.json", lambda d: {**d, "layers": []}),
        r"no layers: profile the model again",
        "profile",
    ),
    file_of("garbage", "build", bad.written(b"[1, 2", "p.json"), r"p\.json: not a valid plan file", "usage"),
    file_of("missing", "build", bad.missing, r"absent\.onnx: No such file", "usage"),
    file_of("of-another-kind", "build", lambda p: p.profile, r"profile\.json: not a valid plan file", "usage"),
    file_of(
        "version",
        "build",
        bad.changed("plan.json", lambda d: {**d, "schema": 99}),
        r"plan\.json: schema version 99, this mopar reads \d+; make the file again",
        "usage",
    ),
    file_of(
        "of-another-model",
        "build",
        bad.changed("plan.json", lambda d: {**d, "graph_sha256": "0" * 64}),
        r"made for another model than .*towers\.onnx: profile and plan it again",
        "bundle",
    ),
    file_of(
        "overlapping",
        "build",
        bad.changed("plan.json", lambda d: {**d, "graphs": [{**g, "start": 0} for g in d["graphs"]]}),
        r"plan: graph 'g1' holds layers 0 to \d+, expected to start at",
        "usage",
    ),
]

PLANS = [
    plan("cuts-no-position", r"99 is no cut position: the nearest are .*\(of 1 to 7\)", "--cuts", "99"),
    plan("cuts-negative", r"-1 is no cut position", "--cuts=-1"),
    plan("cuts-no-numbers", r"--cuts three: write cut positions as the profile numbers them", "--cuts", "three"),
    plan("cuts-and-uniform", r"--cuts and --uniform exclude each other", "--cuts", "4", "--uniform", "2"),
    plan("uniform", r"--uniform", "--uniform", "0"),
    plan("platform", r"no platform 'moon': have .*local", "--platform", "moon"),
    plan("prices", r"no price book 'free': have .*paper", "--prices", "free"),
    Case(
        "plan-prices-fifo",
        lambda p: ["plan", p.profile, "--prices", bad.fifo(p), "-o", p.room / "plan.json"],
        r"pipe\.toml: Not a regular file",
    ),
    plan("prices-missing", r"gone\.toml: No such file", "--prices", "gone.toml"),
    plan("objective", r"objective 'best': choose one of cost, latency, balanced", "--objective", "best"),
    plan("slo-text", r"--slo-ms soon: write milliseconds, or none", "--slo-ms", "soon"),
    plan("slo-zero", r"--slo-ms 0: write milliseconds above 0", "--slo-ms", "0"),
    plan("slo-nan", r"--slo-ms nan: write milliseconds above 0", "--slo-ms", "nan"),
    plan("slo-infinite", r"--slo-ms inf: write milliseconds", "--slo-ms", "inf"),
    plan("functions-zero", r"--max-functions", "--max-functions", "0"),
    plan("parts-zero", r"--parts", "--parts", "0"),
    plan("parts-and-cuts", r"--parts goes with neither", "--parts", "2", "--cuts", "4"),
    plan("parts-and-uniform", r"--parts goes with neither", "--parts", "2", "--uniform", "2"),
    plan("option", r"No such option: --zz: see `mopar plan --help`", "--zz"),
    priced("no-toml", lambda _: "date = [", r"book\.toml: not valid TOML"),
    priced("key", lambda book: book + "bonus = 1", r"book\.toml: unknown key 'bonus'"),
    priced("negative", lambda _: "gib_s_usd = -1.0", r"book\.toml: gib_s_usd must be a number of at least 0"),
    priced(
        "text", lambda book: re.sub("request_usd = .*", "request_usd = 'free'", book), r"book\.toml: Expected `float`"
    ),
    priced(
        "no-function-fits",
        lambda book: re.sub("memory_max_mib = .*", "memory_max_mib = 8", book),
        r"memory_mib: a function of at least \d+ MiB is needed",
        3,
        "infeasible",
    ),
    plan("slo", r"slo_ms 0\.001: the fastest plan is expected to take", "--slo-ms", "0.001", code=3, kind="infeasible"),
    plan(
        "functions", r"max_functions 1: at least 2 ", "--max-functions", "1", "--cuts", "4", code=3, kind="infeasible"
    ),
]

BUNDLES = [
    *opened("missing", lambda p: p.room / "absent", r"absent: no such bundle: make one with `mopar build`"),
    *opened("of-another-kind", not_empty, r"full: no bundle, it has no manifest\.json: make one with `mopar build`"),
    *opened("byte", bad.tampered(bad.flip_a_byte), r"not the file that was built: build the bundle again"),
    *opened("file", bad.tampered(bad.remove_a_file), r"\.onnx: No such file or directory: build the bundle again"),
    *opened("path", bad.tampered(bad.leave_the_folder), r"'\.\./outside\.onnx' lies outside the bundle"),
    *opened("version", bad.tampered(bad.older_version), r"schema version 0, this mopar reads \d+"),
    *opened("fifo", bad.tampered(bad.pipe_as_manifest), r"manifest\.json: Not a regular file"),
    *opened("type", bad.tampered(bad.answers_another_type), r"gives .* as float32 .*, the manifest says int32"),
    *opened("manifest", bad.tampered(bad.no_manifest), r"manifest\.json: not a valid manifest file"),
    Case(
        "verify-another-model",
        lambda p: ["verify", p.bundle, "--against", bad.operator("Relu")(p)],
        r"operator\.onnx: it takes x, and is given user, item",
        kind="input",
    ),
    Case(
        "verify-inputs",
        lambda p: ["verify", p.bundle, "--against", p.model, "--inputs", bad.npz(x=np.zeros(3, np.float32))(p)],
        r"no input 'x'; its inputs are user, item",
        kind="input",
    ),
    Case(
        "infer-inputs",
        lambda p: ["infer", p.bundle, "--inputs", bad.npz(x=np.zeros(3, np.float32))(p), "-o", p.room / "o.npz"],
        r"no input 'x'; its inputs are user, item",
        kind="input",
    ),
    Case(
        "infer-input-left-out",
        lambda p: [
            "infer",
            p.bundle,
            "--inputs",
            bad.npz(user=np.zeros((1, 16), np.float32))(p),
            "-o",
            p.room / "o.npz",
        ],
        r"item",
        kind="request",
    ),
]

OUTPUTS = [
    *output("below-a-file", lambda p: bad.written(b"", "file")(p) / "out", r"-o .*/file/out: .*/file is no folder"),
    *output("in-the-way", lambda p: bad.written(b"", "file")(p) / "a" / "b", r"-o .*/file/a/b: .*/file is no folder"),
    *(case for case in output("a-folder", not_empty, r"-o .*/full: that is a folder") if "build" not in case.name),
    Case(
        "build-output-no-bundle",
        lambda p: ["build", p.model, p.plan, "-o", not_empty(p)],
        r"full exists and is no bundle: remove it, or choose another folder",
        kind="bundle",
    ),
    Case(
        "build-output-a-file",
        lambda p: ["build", p.model, p.plan, "-o", bad.written(b"", "file")(p)],
        r"-o .*/file: that is a file: choose another path",
    ),
]


def _asked(url: str, place: Place) -> list[str | Path]:
    return ["infer", url, "--inputs", place.inputs, "-o", place.room / "o.npz"]


def _over(verb: str, options: Sequence[str], place: Place) -> list[str | Path]:
    port = ["--port", "0"] if verb == "serve" else []
    return [verb, place.model if verb == "bench" else place.bundle, *port, *options]


OTHERS = [
    Case("no-verb", lambda _: ["pln"], r"No such command 'pln'\. Did you mean 'plan'\?: see `mopar --help`"),
    Case("zoo-no-verb", lambda _: ["zoo"], r": see `mopar zoo --help`"),
    Case(
        "zoo-name",
        lambda p: ["zoo", "export", "alexnet", "-o", p.room / "m.onnx"],
        r"the zoo has no model 'alexnet': have vgg16, .*minilm",
    ),
    Case("no-argument", lambda _: ["build"], r"Missing argument .*: see `mopar build --help`"),
    Case("serve-port-range", lambda p: ["serve", p.bundle, "--port", "70000"], r"--port.*65535"),
    Case("serve-port-negative", lambda p: ["serve", p.bundle, "--port=-1"], r"--port.*equal to 0"),
    Case(
        "serve-transport",
        functools.partial(_over, "serve", ["--transport", "tcp"]),
        r"--transport tcp: choose from local, http",
    ),
    *[
        Case(f"{verb}-network-{name}", functools.partial(_over, verb, options), says)
        for verb in ("serve", "bench")
        for name, options, says in [
            ("local", ("--rtt-ms", "5"), r"--rtt-ms emulate a network: add --transport http"),
            ("bandwidth", ("--transport", "http", "--bandwidth-mbit", "0"), r"--bandwidth-mbit 0\.0: write 10\^6 bits"),
            ("rtt", ("--transport", "http", "--rtt-ms=-1"), r"--rtt-ms -1\.0: write milliseconds, 0 or more"),
            ("endless", ("--transport", "http", "--rtt-ms", "inf"), r"--rtt-ms inf: write milliseconds, 0 or more"),
        ]
    ],
    Case(
        "serve-http-worker",
        functools.partial(_over, "serve", ["--transport", "http", "--worker", "mopar.pipeline.bench.torch_worker"]),
        r"torch_worker speaks in frames alone: serve it with --transport local",
    ),
    Case(
        "bench-http-torch",
        functools.partial(_over, "bench", ["--transport", "http", "--torch", "torch.nn:Identity"]),
        r"--torch torch\.nn:Identity: its function speaks in frames alone: use --transport local",
    ),
    plan("network-local", r"--platform local: its functions share memory", "--bandwidth-mbit", "100"),
    plan("network-none", r"--bandwidth-mbit 0\.0: write", "--platform", "container-http", "--bandwidth-mbit", "0"),
    plan("codec-alone", r"add --calibration FILE\.npz and --model MODEL\.onnx", "--accuracy-budget", "1"),
    plan("codec-form", r"--codec int8: write TENSOR=NAME, all=NAME or none", "--codec", "int8"),
    plan("codec-unknown", r"codec 'zip': choose from fp16", "--codec", "all=zip"),
    plan("codec-twice", r"--codec all is given twice", "--codec", "all=int8", "--codec", "all=fp16"),
    plan("calibration-alone", r"goes with --accuracy-budget or --codec", "--accuracy-metric", "top1"),
    Case("up-port-range", lambda p: ["up", p.model, "--port", "99999"], r"--port.*65535"),
    Case(
        "serve-token-open",
        lambda p: ["serve", p.bundle, "--port", "0", "--token-file", p.inputs],
        r"token file .* is open to other users: chmod 600 it",
    ),
    Case(
        "serve-address",
        lambda p: ["serve", p.bundle, "--host", "192.0.2.1", "--port", "0"],
        r"cannot listen on 192\.0\.2\.1: .*choose another with --host",
        1,
        "platform",
    ),
    Case(
        "infer-dead",
        lambda p: ["infer", f"http://127.0.0.1:{free_port()}", "--inputs", p.inputs, "-o", p.room / "o.npz"],
        r"http://127\.0\.0\.1:\d+ cannot be reached: .*refused",
        1,
        "deployment",
    ),
    Case(
        "infer-no-url",
        lambda p: ["infer", "http://:80/", "--inputs", p.inputs, "-o", p.room / "o.npz"],
        r"http://:80/ is no URL of a server: write http://HOST:PORT",
    ),
    *[
        Case(f"infer-url-{name}", functools.partial(_asked, url), says)
        for name, url, says in [
            ("bracket", "http://[::1", "Invalid IPv6 URL"),
            ("port", "http://localhost:99999", "Port out of range"),
            ("label", f"http://{'a' * 70}.example", "label"),
            ("dots", "http://a..b", "label"),
            ("space", "http://a b/", "a b"),
            ("path", "http://localhost/é", "is no URL of a server"),
        ]
    ],
    Case(
        "infer-picture",
        lambda p: ["infer", p.room / ":x:[red]", "--inputs", p.inputs, "-o", p.room / "o.npz"],
        r":x:\[red\]",
        kind="bundle",
    ),
    Case(
        "bench-baseline", lambda p: ["bench", p.model, "--baselines", "ort,jax"], r"--baselines jax: choose from ort,"
    ),
    Case("bench-no-torch", lambda p: ["bench", p.model, "--baselines", "torch"], r"name the module with --torch"),
    Case("bench-no-requests", lambda p: ["bench", p.model, "--requests", "0"], r"--requests"),
    Case(
        "up-platform",
        lambda p: ["up", p.model, "--platform", "nowhere"],
        r"nothing is deployed to a platform 'nowhere': choose",
    ),
    Case(
        "import-no-module",
        lambda p: ["import", "no_such:thing", "--input", "x=1:float32", "-o", p.room / "m.onnx"],
        r"no_such",
    ),
    Case(
        "import-no-name",
        lambda p: ["import", "torch.nn", "--input", "x=1:float32", "-o", p.room / "m.onnx"],
        r"torch\.nn.*MODULE:CALLABLE",
    ),
    Case(
        "import-no-dtype",
        lambda p: ["import", "torch.nn:Identity", "--input", "x=1:real", "-o", p.room / "m.onnx"],
        r"--input x=1:real: no element type is called 'real'",
    ),
]

CASES = [*MODELS, *INPUTS, *FILES, *PLANS, *BUNDLES, *OUTPUTS, *OTHERS]


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
