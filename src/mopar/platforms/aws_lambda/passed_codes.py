"""Which codecs of messages a plan's calls use on Lambda: what runs the plan has to pass their codes on."""

from collections.abc import Iterator
from dataclasses import replace

from mopar.bundle import Bundle
from mopar.bundle.call_plans import call_plans
from mopar.bundle.sent_codecs import code_name, is_lossless
from mopar.platforms.aws_lambda.limits import bytes_of_calls, may_exceed
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.types import Manifest, graph_text


def with_passed_codes(bundle: Bundle, options: LambdaOptions) -> Bundle:
    """The bundle without those codecs of messages that what runs its plan does not pass on.

    The gateway encodes and decodes where a function does not. A state machine knows of no codecs. An entry function has
    no library: of its plan, those tensors are sent as they are that it would have to encode or decode itself.
    """
    manifest, plan = bundle.manifest, bundle.manifest.plan
    if not (options.by_entry or options.by_step_functions):
        return bundle
    raw = set(_sent_raw(manifest, stores=bool(options.bucket))) if options.by_entry else set(plan.codecs)
    unpassed = {name for name in plan.codecs if not raw.isdisjoint(_sent(manifest, name))}
    kept = {name: graph_text(text) if name in unpassed else text for name, text in plan.codecs.items()}
    codecs = {name: text for name, text in kept.items() if name not in unpassed or not is_lossless(text)}
    ratios = {name: ratio for name, ratio in plan.code_ratios.items() if name not in unpassed}
    return replace(bundle, manifest=replace(manifest, plan=replace(plan, codecs=codecs, code_ratios=ratios)))


def _sent(manifest: Manifest, tensor: str) -> Iterator[str]:
    """Names of a tensor, and of its codes that graphs make."""
    yield tensor
    yield from (code_name(tensor, suffix) for suffix in manifest.codes.get(tensor, ()))


def _sent_raw(manifest: Manifest, *, stores: bool) -> Iterator[str]:
    """The tensors that an entry function has to have as they are.

    Those are the model's own; those of which a call reads regions; and, with a bucket, those of calls whose messages
    may have no room for them, so that it stores some: their codes may turn out to be larger than was planned.
    """
    yield from (spec.name for spec in (*manifest.inputs, *manifest.outputs))
    for plan, call in zip(call_plans(manifest), bytes_of_calls(manifest), strict=True):
        all_of_them = stores and may_exceed(call.read)
        read = zip(plan.sources, plan.taken, strict=True)
        yield from (name for (name, _), region in read if all_of_them or region is not None)
