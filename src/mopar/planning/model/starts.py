"""Start-up of functions, from exec to ready: what loading their weights takes with one CPU."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from mopar.planning.model.portable import packing_times
from mopar.types import Graph, PartProfile, PlatformLimits, Profile


@dataclass(frozen=True, slots=True)
class Loading:
    """Loading of a model's weights while functions start.

    Attributes:
        weights_ms: of each weight.
    """

    weights_ms: Mapping[str, float]
    _layers: tuple[frozenset[str], ...]
    _upto_ms: tuple[float, ...]
    _upto_bytes: tuple[int, ...]

    @classmethod
    def of(cls, profile: Profile, limits: PlatformLimits) -> "Loading":
        """Each weight's share, by its bytes, of what was measured for packed graphs; of portable ones, its packing.

        From a portable graph only what kernels pack is read while it loads; other weights are mapped, and read when
        the first request needs them.
        """
        files = {weight.name: weight.file_bytes for weight in profile.weights}
        if limits.portable_graphs:
            weights_ms = dict.fromkeys(files, 0.0) | packing_times(profile)
        else:
            whole_ms, total = max(profile.whole.init_ms - profile.runtime.init_ms, 0.0), sum(files.values())
            weights_ms = {name: whole_ms * size / total if total else 0.0 for name, size in files.items()}
        layers = tuple(frozenset(layer.weights) for layer in profile.layers)
        upto_ms = accumulate((sum(weights_ms[name] for name in names) for names in layers), initial=0.0)
        upto_bytes = accumulate((sum(files[name] for name in names) for names in layers), initial=0)
        return cls(weights_ms, layers, tuple(upto_ms), tuple(upto_bytes))

    def part_ms(self, start: int, stop: int, part: PartProfile) -> float:
        """Of a part of layers ``start`` to ``stop``: theirs, by its share of their bytes."""
        total = self._upto_bytes[stop] - self._upto_bytes[start]
        return part.file_bytes * (self._upto_ms[stop] - self._upto_ms[start]) / total if total else 0.0

    def function_ms(self, whole: Iterable[Graph], parts: Iterable[tuple[Graph, PartProfile]]) -> float:
        """Of a function with these graphs, each weight of its whole runs once."""
        names = {name for graph in whole for names in self._layers[graph.start : graph.stop] for name in names}
        parts_ms = sum(self.part_ms(graph.start, graph.stop, part) for graph, part in parts)
        return parts_ms + sum(self.weights_ms[name] for name in names)
