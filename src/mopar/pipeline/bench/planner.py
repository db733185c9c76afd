"""How the configurations of a benchmark are planned: for the transport that they are served by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mopar.graph import Model
from mopar.pipeline.codecs.calibration import Calibration, Request
from mopar.pipeline.codecs.choose import CodecPlanner
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.options import CodecOptions
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import NO_CODINGS, Codings
from mopar.planning.model.function_memory import FunctionMemory
from mopar.platforms.books import load_limits
from mopar.platforms.networks import OVER_HTTP
from mopar.profiling import Progress
from mopar.types import Network, Plan, PlatformError, Profile

_HTTP = "http"
_NOTHING_LOST = CodecOptions()


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans a model; where functions are behind a network, with what compresses compressed.

    Attributes:
        profile: of the model.
        codecs: finds codecs that lose nothing; None where tensors are sent as they are.
    """

    profile: Profile
    codecs: CodecPlanner | None = None

    def plan(self, options: PlanOptions) -> Plan:
        """The plan that the options ask for. Raises UsageError, InfeasibleError."""
        if self.codecs is None:
            return make_plan(self.profile, options)
        return self.codecs.choose(options, _NOTHING_LOST).plan

    def codings(self, plan: Plan) -> Codings:
        """What was counted for the codecs of a plan."""
        return NO_CODINGS if self.codecs is None else self.codecs.codings(plan, _NOTHING_LOST)

    def codec_mib(self, plan: Plan) -> dict[str, float]:
        """Memory of each function that codecs take, as planned; nothing where the plan has none."""
        if not plan.codecs:
            return {}
        with_codecs = FunctionMemory(self.profile, codings=self.codings(plan))
        without = FunctionMemory(self.profile)
        graphs = {graph.id: graph for graph in plan.graphs}
        held = {function.name: [graphs[name] for name in function.graphs] for function in plan.functions}
        return {name: with_codecs.memory_mib(own) - without.memory_mib(own) for name, own in held.items()}


def planner_of(
    model: Model, profile: Profile, requests: Sequence[Request], transport: str, progress: Progress
) -> Planner:
    """What plans a model for a transport; over HTTP with codecs, where their library is here.

    Args:
        model: in canonical form.
        profile: of the model.
        requests: whose tensors show what compresses.
        transport: to functions.
        progress: told where no tensor can be compressed.
    """
    if transport != _HTTP:
        return Planner(profile)
    try:
        messages = MessageCodecs.here()
    except PlatformError as error:
        progress(f"no tensor is compressed: {error}", None)
        return Planner(profile)
    return Planner(profile, CodecPlanner(model, profile, Calibration(tuple(requests), ()), messages=messages))


def behind_transport(options: PlanOptions, transport: str, network: Network | None) -> PlanOptions:
    """The options, for plans that are served by a transport over a network.

    Functions of a platform that share memory are planned as ``container-http``, at the platform's own prices.
    """
    if transport != _HTTP:
        return options
    limits = load_limits(options.platform)
    if not limits.shares_memory:
        return replace(options, network=network)
    return replace(options, platform=OVER_HTTP, prices=options.prices or limits.prices, network=network)
