"""Every plan builds and computes correct outputs: random models, all kinds of plans, composed again.

    python -m benchmarks.drawn_models [--count 10000] [--from SEED] [--processes N] [--again] [--json FILE]

For each seed a small random model is generated: blocks of one family with others between them, of fixed sizes or free
ones. It is profiled (predicted, as if it were large, so that splitting pays; some models also as they are, or
measured), and planned for a few of all objectives and platforms, and in random chains of steps. The graphs of each plan
are made as ``mopar build`` makes them, without packing, run one after the other, and compared with the reference model,
where sizes are free at two more points. Of one seed in a hundred a plan is packed too, and run by workers. Goals: no
refusal, no wrong output, no crash, and parallel functions in at least a third of the plans. Finished seeds are cached
in ``.cache/drawn``, by the sources that they depend on, so that an interrupted run continues; those that failed are
tried again.
"""

import hashlib
import multiprocessing
import os
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.files import from_json, to_json, write_whole
from mopar.types import MoparError
from tests.models.drawn import Outcome, check

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "drawn"
COUNT, PARTS_GOAL = 10_000, 1 / 3
_AT_ONCE = 200
_SOURCES = ("src/mopar", "tests/models/drawn")


def cache_folder() -> Path:
    """Where seeds that were finished with these sources are cached."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for source in sorted((ROOT / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    return CACHE / digest.hexdigest()[:12]


def kept(folder: Path, seed: int) -> Outcome | None:
    """The cached outcome of a seed; None where it was not tried, or failed."""
    path = folder / f"{seed}.json"
    if not path.exists():
        return None
    found = from_json(path.read_bytes(), Outcome, what=str(path), error=MoparError)
    return found if not found.failures else None


def one(seed: int) -> Outcome:
    """Check a seed in a process of the pool, where a mistake of a sharding rule is an error."""
    warnings.simplefilter("error", RuntimeWarning)
    return check(seed)


def outcomes(seeds: Iterable[int], processes: int, folder: Path, again: bool) -> Iterator[Outcome]:
    """Outcomes of all seeds, as they are finished."""
    left = []
    for seed in seeds:
        found = None if again else kept(folder, seed)
        if found is None:
            left.append(seed)
        else:
            yield found
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=_AT_ONCE) as pool:
        for start in range(0, len(left), _AT_ONCE):
            futures = {pool.submit(one, seed): seed for seed in left[start : start + _AT_ONCE]}
            for future in as_completed(futures):
                failure = future.exception()
                if failure is None:
                    found = future.result()
                else:
                    crash = f"{type(failure).__name__}: {str(failure)[:300]}"
                    found = Outcome(futures[future], "crashed", (), crashed=[crash])
                write_whole(folder / f"{found.seed}.json", to_json(found))
                yield found


def say(found: Outcome) -> None:
    """Print the failures."""
    for line in found.failures:
        print(f"seed {found.seed}, {found.family} ({', '.join(found.blocks)}): {line[:400]}", flush=True)


def rows(found: Iterable[Outcome]) -> list[tuple[str, ...]]:
    """Rows of the table: each family, and all."""
    by_family: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        by_family[outcome.family].append(outcome)
        by_family["all"].append(outcome)
    names = [*sorted(by_family.keys() - {"all"}), "all"]
    return [
        (
            name,
            str(len(some := by_family[name])),
            str(sum(item.plans for item in some)),
            str(sum(item.split for item in some)),
            str(sum(item.with_parts for item in some)),
            str(sum(len(item.refused) for item in some)),
            str(sum(len(item.wrong) for item in some)),
            str(sum(len(item.crashed) for item in some)),
            f"{sum(item.seconds for item in some) / max(len(some), 1):.2f}",
        )
        for name in names
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=COUNT, help=f"seeds (default: {COUNT})")
    arguments.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first one")
    arguments.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core")
    arguments.add_argument("--again", action="store_true", help="also the seeds that were finished before")
    options = arguments.parse_args()
    say_where(options.first)
    begun, found = time.perf_counter(), []
    seeds = range(options.first, options.first + options.count)
    for outcome in outcomes(seeds, options.processes, cache_folder(), options.again):
        say(outcome)
        found.append(outcome)
        if len(found) % _AT_ONCE == 0:
            print(f"  {len(found)} of {len(seeds)}, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    columns = ("family", "drawn", "plans", "split", "in parts", "refused", "wrong", "crashed", "s each")
    table(columns, rows(found))
    failed = sum(bool(outcome.failures) for outcome in found)
    share = sum(outcome.with_parts for outcome in found) / max(sum(outcome.plans for outcome in found), 1)
    print(f"failed: {failed}, goal 0: {met(not failed)}")
    print(f"plans in parts: {share:.0%}, goal {PARTS_GOAL:.0%}: {met(share >= PARTS_GOAL)}")
    write_raw(options.json, "drawn_models", {"outcomes": found})
    sys.exit(failed > 0 or share < PARTS_GOAL)


if __name__ == "__main__":
    main()
