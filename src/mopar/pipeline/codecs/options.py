"""What is asked of codecs, and the plan that was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mopar.bundle.sent_codecs import in_graphs
from mopar.codecs import Fitted, TrainedCodec, codec_of
from mopar.types import Accuracy, Plan, graph_text

ALL, NONE = "all", "none"
FAMILY = "blosc2"
"""Before the colon of codecs of messages: any of them."""


@dataclass(frozen=True, slots=True)
class CodecOptions:
    """What ``mopar plan`` takes.

    Attributes:
        budget: most points that the plan as a whole may lose.
        metric: of the loss; None for the one that suits the model's answers.
        forced: tensor, or ``all`` -> a codec's name or text, or ``none``: tensors named here have no other, whatever it
            saves and loses, and tensors that are not named have none.
        trained: whether codecs that have to be trained are offered, beside those that are forced.
    """

    budget: float = 0.0
    metric: str | None = None
    forced: Mapping[str, str] = field(default_factory=dict)
    trained: bool = False

    @property
    def loses(self) -> bool:
        """Whether codecs that lose something are considered."""
        named = self.forced.values()
        return self.budget > 0 or any(text not in {NONE, FAMILY} and in_graphs(text) for text in named)

    def allows(self, tensor: str, text: str) -> bool:
        """Whether a tensor may have a codec."""
        if not self.forced:
            return self.trained or not in_graphs(text) or not isinstance(codec_of(text), TrainedCodec)
        wanted = self.forced.get(tensor, self.forced.get(ALL, NONE))
        return wanted in {text, graph_text(text), text.partition(":")[0]}


@dataclass(frozen=True, slots=True)
class PlanWithCodecs:
    """A plan with its codecs.

    Attributes:
        plan: with ``codecs``, but without ``coding``, which names the file that they are written to.
        codings: what was fitted, of codecs that lose something.
        accuracy: of the plan; None where nothing is lost.
        tried: points lost by each plan that was measured.
    """

    plan: Plan
    codings: Mapping[str, Fitted]
    accuracy: Accuracy | None
    tried: tuple[float, ...] = ()
