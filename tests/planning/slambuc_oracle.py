"""Questions that both SLAMBUC and the planner can express, and SLAMBUC's answers.

SLAMBUC partitions chains of serverless functions: J. Czentye, I. Pelle and B. Sonkoly, "Cost-optimal Operation of
Latency Constrained Serverless Applications: From Theory to Practice", NOMS 2023. Its cost is billed time alone; a
block's memory is the sum of its nodes'; a call from block to block has a delay that is not billed. In mopar's terms: a
price book that bills CPU and no memory, a limit on packages in place of memory, and a hop that passes outside the
function. Two of its models are compared with ours: blocks billed in units of time (its dynamic program), and blocks
that also fetch their input and store their output, which takes time and is billed (its exhaustive search).
"""

import math
import random
from dataclasses import dataclass, replace

from slambuc.alg.chain import chain_partitioning, greedy_ser_chain_partitioning

from mopar.types import LayerProfile, PlatformLimits, PriceBook, Profile, RuntimeCosts, WeightProfile, WholeProfile
from tests.profiles import FREE, MIB, PAPER, make_profile, tensor

USD_PER_MS = 1e-6


@dataclass(frozen=True)
class Chain:
    """A chain of functions.

    Attributes:
        runtime_ms, memory_mib: of each function, whole numbers.
        data_ms: time to fetch the input of each, and again to store it; None for the model without data.
        most_mib: of a block.
        most_ms: of a request.
        delay_ms: of a call from block to block.
        unit_ms: billing unit of a block's time.
    """

    runtime_ms: tuple[int, ...]
    memory_mib: tuple[int, ...]
    data_ms: tuple[int, ...] | None
    most_mib: int
    most_ms: float
    delay_ms: int
    unit_ms: int

    def optimum_ms(self) -> float | None:
        """Billed time of the best partition by SLAMBUC; None where there is none."""
        runtime, memory, rate = list(self.runtime_ms), list(self.memory_mib), [1] * len(self.runtime_ms)
        if self.data_ms is None:
            _, cost, _ = chain_partitioning(
                runtime, memory, rate, M=self.most_mib, L=self.most_ms, delay=self.delay_ms, unit=self.unit_ms
            )
        else:
            _, cost, _ = greedy_ser_chain_partitioning(
                runtime, memory, rate, list(self.data_ms), M=self.most_mib, L=self.most_ms, delay=self.delay_ms
            )[0]
        return None if cost is None or math.isinf(cost) else float(cost)

    def question(self) -> tuple[Profile, PriceBook, PlatformLimits, float | None]:
        """The same question for the planner: its cost in USD is SLAMBUC's times ``USD_PER_MS``.

        SLAMBUC starts the first block immediately; our requests reach it over a hop like the others.
        """
        data_ms = self.data_ms or (0,) * len(self.runtime_ms)
        book = replace(
            PAPER,
            gib_s_usd=0.0,
            vcpu_s_usd=USD_PER_MS * 1e3,
            billing_unit_ms=float(self.unit_ms),
            memory_max_mib=1 << 20,
        )
        limits = replace(
            FREE,
            shares_host=False,
            hop_ms=float(self.delay_ms),
            hop_billed_share=0.0,
            hop_ms_per_mib=1.0,
            wire_billed_share=1.0,
            package_bytes=self.most_mib * MIB,
        )
        slo_ms = None if math.isinf(self.most_ms) else self.most_ms + self.delay_ms
        return _profile(self.runtime_ms, self.memory_mib, data_ms), book, limits, slo_ms


def _profile(runtime_ms: tuple[int, ...], memory_mib: tuple[int, ...], data_ms: tuple[int, ...]) -> Profile:
    """A MiB of tensor for a ms of data; the last function's output takes no time."""
    count = len(runtime_ms)
    sizes = [*(data * MIB for data in data_ms), 0]
    tensors = tuple(tensor(f"t{index}", size, index - 1, (index,)) for index, size in enumerate(sizes))
    weights = tuple(WeightProfile(f"w{n}", mib * MIB, mib * MIB, mib * MIB) for n, mib in enumerate(memory_mib))
    layers = tuple(
        LayerProfile(n, (f"n{n}",), ("Gemm",), (f"w{n}",), float(ms), 0.0, memory_mib[n] * MIB, sizes[n] + sizes[n + 1])
        for n, ms in enumerate(runtime_ms)
    )
    whole = WholeProfile(float(sum(runtime_ms)), 0.0, float(sum(memory_mib)), 0.0, 0.0)
    runtime = RuntimeCosts(0.0, 0.0, 0.0, 0.0, 0.0)
    return make_profile(layers, tensors, weights, tuple(range(1, count)), whole=whole, runtime=runtime)


def random_chain(rng: random.Random, most_functions: int = 10) -> Chain:
    """A chain with limits that sometimes bind."""
    count = rng.randint(2, most_functions)
    runtime = tuple(rng.randint(1, 60) for _ in range(count))
    memory = tuple(rng.randint(1, 40) for _ in range(count))
    data = tuple(rng.randint(0, 8) for _ in range(count)) if rng.random() < 0.5 else None
    delay = rng.randint(1, 10)
    least_ms = sum(runtime) + (data[0] if data else 0)
    return Chain(
        runtime_ms=runtime,
        memory_mib=memory,
        data_ms=data,
        most_mib=rng.randint(max(memory), max(sum(memory) // rng.randint(1, 4), *memory)),
        most_ms=rng.choice([math.inf, float(least_ms + rng.randint(0, 60))]),
        delay_ms=delay,
        unit_ms=1 if data else rng.choice([1, 10, 25]),
    )
