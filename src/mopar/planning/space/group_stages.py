"""The possible stages of slices in so many parts: time and memory of each, from the profile's sharding steps."""

from collections.abc import Iterator, Sequence

import numpy as np

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.boundary import last_use
from mopar.planning.model.calls import CallCosts, CallTime, Side, call_time, crossing_time
from mopar.planning.model.codings import part_code_bytes, part_library_mib
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.objects import object_usd, request_objects_usd
from mopar.planning.model.prices import billed_ms
from mopar.planning.model.shares import made_bytes, read_bytes, share_bytes
from mopar.planning.model.table import SliceTable
from mopar.planning.model.waiting import stage_ms
from mopar.planning.numbers import Floats, Indices
from mopar.planning.space.stages import Figures, Most, Stages, Sum, nothing
from mopar.types import GraphPart, PartProfile, ShardStep, Share


class GroupStages:
    """The stages of one number of parts.

    Attributes:
        parts: number of functions.
        steps: of so many parts; ``begins`` and ``ends`` are the numbers of the positions that they lie between.
    """

    def __init__(self, model: CostModel, table: SliceTable, parts: int) -> None:
        profile = model.profile
        self.parts = parts
        self._model, self._table = model, table
        self._number = {position: number for number, position in enumerate(table.positions)}
        self.steps = tuple(step for step in profile.shards if self._usable(step))
        self.begins: Indices = np.array([self._number[step.start] for step in self.steps], dtype=np.int64)
        self.ends: Indices = np.array([self._number[step.stop] for step in self.steps], dtype=np.int64)
        self._elapsed, self._beside = np.array(model.one_ms), np.array(model.parts_ms)
        self._tensors = {tensor.name: tensor for tensor in profile.tensors}
        self._largest = {tensor.name: tensor for tensor in at_largest(profile).tensors}
        self._request_usd = request_objects_usd(model, None)
        summed = any(share.summand for step in self.steps for part in step.parts for share in part.part.outputs)
        # An input may be a summand of every part.
        self._copies = parts if summed else 1

    def _usable(self, step: ShardStep) -> bool:
        """Whether a step has that many parts, lies between positions, and its outputs can be sent.

        Those of the model are left whole, and of an encoded tensor parts make shares that its codec encodes.
        """
        outputs, codings = {spec.name for spec in self._model.profile.outputs}, self._model.codings
        shares = [share for part in step.parts for share in part.part.outputs]
        return (
            len(step.parts) == self.parts
            and {step.start, step.stop} <= self._number.keys()
            and not any(share.summand or share.axis is not None for share in shares if share.tensor in outputs)
            and all(codings[share.tensor].encodes(share) for share in shares if share.tensor in codings)
        )

    def alone(self, stop: int) -> Stages:
        """Runs computed by the first part alone that end at a position, from every earlier one."""
        needs, begins = self._table.needs, np.arange(stop)
        compute = self._elapsed[self._table.positions[stop]] - self._elapsed[np.array(self._table.positions[:stop])]
        sums, most = nothing((stop,), self.parts)
        sums[:, Sum.CALLS, 0] = 1.0
        sums[:, Sum.RESIDENT_BYTES, 0] = needs.resident_bytes[:stop, stop]
        sums[:, Sum.FILE_BYTES, 0] = needs.file_bytes[:stop, stop]
        sums[:, Sum.LOADING_MS, 0] = needs.loading_ms[:stop, stop]
        sums[:, Sum.OBJECTS_USD, 0] = needs.objects_usd[:stop, stop]
        most[:, Most.ACTIVE_BYTES, 0] = needs.active_bytes[:stop, stop]
        most[:, Most.OVERHEAD_MIB, 0] = needs.overhead_mib[:stop, stop]
        most[:, Most.LIBRARY_MIB, 0] = needs.library_mib[:stop, stop]
        entering, leaving = needs.input_bytes[:stop, stop], needs.output_bytes[:stop, stop]
        most[:, Most.BODY_BYTES, 0] = np.maximum(entering * self._copies, leaving)
        inside_ms, outside_ms = needs.crossing.inside_ms[:stop, stop], needs.crossing.outside_ms[:stop, stop]
        crossing = CallTime(inside_ms.reshape(stop, 1), outside_ms.reshape(stop, 1))
        return self._stages(begins, compute.reshape(stop, 1), crossing, sums, most)

    def together(self, numbers: Indices) -> Stages:
        """Steps by their numbers."""
        shape = (len(numbers), self.parts)
        compute, inside_ms, outside_ms = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        sums, most = nothing((len(numbers),), self.parts)
        for at, number in enumerate(numbers.tolist()):
            step = self.steps[number]
            whole_ms = self._beside[step.stop] - self._beside[step.start]
            overhead_mib = self._table.needs.overhead_mib[self.begins[number], self.ends[number]]
            if step.start == 0:  # as the table has it of slices
                sums[at, Sum.OBJECTS_USD, 0] = self._request_usd
            for one, needs in enumerate(step.parts):
                if not needs.part.outputs:
                    continue
                crossing = self._crossing(needs.part)
                compute[at, one] = needs.time_share * whole_ms
                inside_ms[at, one], outside_ms[at, one] = crossing.inside_ms, crossing.outside_ms
                sums[at, :, one] += self._sums(step, needs)
                most[at, :, one] = self._most(needs, overhead_mib, most[at, Most.SUMMED, one])
        return self._stages(self.begins[numbers], compute, CallTime(inside_ms, outside_ms), sums, most)

    def _sums(self, step: ShardStep, needs: PartProfile) -> list[float]:
        """Figures by ``Sum``."""
        loading_ms = self._model.loading.part_ms(step.start, step.stop, needs)
        return [1.0, needs.resident_bytes, needs.file_bytes, loading_ms, self._objects_usd(needs.part)]

    def _objects_usd(self, part: GraphPart) -> float:
        """What the tensors of a part's call cost as objects."""
        sides: tuple[tuple[Side, Sequence[Share]], ...] = (("consumer", part.inputs), ("producer", part.outputs))
        return sum(
            object_usd(self._model, share.tensor, share_bytes(self._tensors[share.tensor], share), side)
            for side, shares in sides
            for share in shares
        )

    def _most(self, needs: PartProfile, overhead_mib: float, unsummed: float) -> list[float]:
        """Figures by ``Most``."""
        part, codings = needs.part, self._model.codings
        summed = [last_use(self._tensors[share.tensor]) for share in part.outputs if share.summand]
        active_bytes = needs.activation_bytes + part_code_bytes(codings, self._largest, part)
        library_mib = part_library_mib(codings, part)
        return [active_bytes, overhead_mib, library_mib, self._body_bytes(part), max(summed, default=unsummed)]

    def _crossing(self, part: GraphPart) -> CallTime[float]:
        """Time that the tensors of a part's call add to it, at the measured point."""
        each = list(self._crossings(part))
        return CallTime(sum(one.inside_ms for one in each), sum(one.outside_ms for one in each))

    def _crossings(self, part: GraphPart) -> Iterator[CallTime[float]]:
        call, coding, codings = self._model.call, self._model.coding, self._model.codings
        for share in part.inputs:
            size = read_bytes(self._tensors[share.tensor], share, codings)
            yield crossing_time(call, size, "consumer", coding(share.tensor))
        for share in part.outputs:
            size = made_bytes(self._tensors[share.tensor], share, part)
            yield crossing_time(call, size, "producer", coding(share.tensor))

    def _body_bytes(self, part: GraphPart) -> float:
        """Bytes of a part's larger body at the largest sizes, as they are sent at most."""
        coding, codings, sized = self._model.coding, self._model.codings, self._largest
        entering = (read_bytes(sized[one.tensor], one, codings) * coding(one.tensor).bound_ratio for one in part.inputs)
        leaving = (share_bytes(sized[one.tensor], one) * coding(one.tensor).bound_ratio for one in part.outputs)
        return max(sum(entering) * self._copies, sum(leaving))

    def _stages(
        self, begins: Indices, compute_ms: Floats, crossing: CallTime[Floats], sums: Floats, most: Floats
    ) -> Stages:
        """Stages from the times of their calls: stages x parts, or x 1 where the first part is alone."""
        model, positions = self._model, self._table.positions
        cut_ms = np.array([model.cut_ms.get(positions[begin], 0.0) for begin in begins.tolist()])
        calls = sums[:, Sum.CALLS]

        def figures(costs: CallCosts) -> Figures:
            time = call_time(costs, compute_ms + cut_ms[:, None], model.one_ms[-1], crossing)
            latency_ms = ((time.inside_ms + time.outside_ms) * calls).max(axis=1)
            if model.parts_wait:
                held_ms = stage_ms(time, first=costs is model.call) * calls
                clock_ms = held_ms.max(axis=1)
            else:
                held_ms, clock_ms = billed_ms(model.book, time.inside_ms) * calls, np.zeros(len(begins))
            return Figures(latency_ms, clock_ms, held_ms, sums, most)

        return Stages(begins, figures(model.call), figures(model.step), model.parts_wait)
