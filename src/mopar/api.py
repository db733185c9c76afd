"""The Python API: what the command line does, on Python objects.

Each name is also ``mopar.<name>``, imported when it is first used.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import uvloop

from mopar.bundle import Bundle, open_bundle
from mopar.bundle.assemble import build as write_bundle
from mopar.gateway.arrays import Array
from mopar.gateway.options import ServeOptions
from mopar.graph import Model
from mopar.measurement.once import answer_once
from mopar.pipeline.background import Service, serve_in_background
from mopar.pipeline.profile import profile_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan, requests_for
from mopar.pipeline.verify import verify as check_bundle
from mopar.platforms.names import checked_name, name_from
from mopar.platforms.options import made_options
from mopar.platforms.registry import platform_named
from mopar.shapes import ShapeLike
from mopar.types import Plan, Profile
from mopar.types.deployed import Deployed, Removed
from mopar.types.reports import Verification

PathLike = str | os.PathLike[str]

__all__ = ["PlanOptions", "ServeOptions", "build", "deploy", "infer", "plan", "profile", "remove", "serve", "verify"]


def profile(
    model: Model,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, ShapeLike] | None = None,
    use_cache: bool = True,
) -> Profile:
    """Measure a model on this machine: layers, tensors, weights, required memory.

    Args:
        model: from ``mopar.load``.
        inputs: values of some or all inputs; the others are generated.
        shapes: sizes of inputs whose dimensions are symbolic: numbers, or a text such as ``"1x1..512"`` for the range
            that a service must answer; default: the shapes given to ``mopar.load`` or ``mopar import``.
        use_cache: whether to reuse an earlier measurement.

    Raises:
        ModelError, InputError, EngineError, PlatformError.
    """
    return profile_model(model, inputs=inputs, shapes=shapes, use_cache=use_cache)


def plan(profile: Profile, options: PlanOptions | None = None) -> Plan:
    """Choose cuts and sizes; by default the cheapest on this machine that is no slower.

    Raises:
        UsageError, InfeasibleError.
    """
    return make_plan(profile, options or PlanOptions())


def build(model: Model, plan: Plan, out: PathLike) -> Bundle:
    """Write the plan's slices and a manifest to the folder ``out``.

    Raises:
        BundleError: the plan was made for another model, or ``out`` exists and is not a bundle.
    """
    write_bundle(model, plan, Path(out))
    return open_bundle(Path(out), check=False)


def verify(
    bundle: Bundle | PathLike, against: PathLike, requests: Sequence[Mapping[str, Array]] | None = None
) -> Verification:
    """Compare a bundle with its model under the plan's limits: answers, memory and time.

    Args:
        bundle: the bundle, or its folder.
        against: the ONNX file that it was built from.
        requests: requests to compare answers on; default: the measured request and two more of its shape.

    Raises:
        BundleError, ModelError, InputError, EngineError, PlatformError.
    """
    opened = _opened(bundle)
    manifest = opened.manifest
    plan = manifest.plan
    chosen = list(requests or requests_for(manifest.inputs, plan.recipes, ranges=plan.ranges))
    return check_bundle(opened, ReferenceModel(Path(against)), chosen)


def infer(bundle: Bundle | PathLike, inputs: Mapping[str, Array], *, deadline_s: float = 60.0) -> dict[str, Array]:
    """Start a bundle's functions, answer one request, and stop them.

    Raises:
        BundleError, InputError, EngineError, PlatformError, DeploymentError.
    """
    return uvloop.run(answer_once(_opened(bundle), inputs, deadline_s, lambda _text: None))


@contextlib.contextmanager
def serve(bundle: Bundle | PathLike, options: ServeOptions | None = None) -> Iterator[Service]:
    """Serve a bundle for the duration of a ``with`` block, on a free port unless the options name one.

    Args:
        bundle: the bundle, or its folder.
        options: address, queue, deadline and so on.

    Yields:
        The service: ``url`` for any client of the Open Inference Protocol v2, and ``infer(inputs)``.

    Raises:
        BundleError, EngineError, PlatformError.
    """
    with serve_in_background(_opened(bundle), options or ServeOptions(port=0)) as service:
        yield service


def deploy(bundle: Bundle | PathLike, platform: str = "local", name: str | None = None, **options: object) -> Deployed:
    """Deploy a bundle, or update what is deployed under its name, and wait until it answers.

    Args:
        bundle: the bundle, or its folder.
        platform: where, as ``--platform`` takes it.
        name: of the deployment; None for one made from the model's.
        options: of the platform, such as ``port=8080``.

    Raises:
        UsageError, BundleError, PlatformError.
    """
    opened, chosen = _opened(bundle), platform_named(platform)
    deployed = name_from(opened.manifest.name) if name is None else checked_name(name)
    return chosen.deploy(opened, deployed, made_options(chosen.options, options, platform), lambda _stage: None)


def remove(name: str, platform: str = "local", **options: object) -> Removed:
    """Remove a deployment; what cannot be removed is named in the answer.

    Raises:
        UsageError, PlatformError.
    """
    chosen = platform_named(platform)
    return chosen.remove(checked_name(name), made_options(chosen.options, options, platform), lambda _stage: None)


def _opened(bundle: Bundle | PathLike) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
