"""Plan with your own price book, a TOML file: ``python -m examples.add_price_book``.

``PriceBook`` in ``src/mopar/types/platform.py`` documents each key. On the command line: ``--prices my-cloud.toml``.
"""

import tempfile
from pathlib import Path

import mopar
from examples.small_model import write_model
from mopar.platforms.books import book_names

MY_CLOUD = """
date = "2026-01-01"
source = "a contract"
gib_s_usd = 0.000004
vcpu_s_usd = 0.00002
request_usd = 0.0000001 # 0.10 per million
memory_min_mib = 64
memory_max_mib = 4096
memory_step_mib = 32
billing_unit_ms = 1.0
cpu_per_function = 1.0
cpu_sizes = [{ cpu = 0.25, memory_max_mib = 1024 }, { cpu = 0.5 }, { cpu = 1.0 }, { cpu = 2.0 }]
init_billed = false
cold_rate = 0.0
"""


def main() -> None:
    """Print the cheapest plan of the same model under every price book that mopar ships, and under this one."""
    with tempfile.TemporaryDirectory() as folder:
        profile = mopar.profile(mopar.load(write_model(Path(folder) / "small.onnx")))
        mine = Path(folder) / "my-cloud.toml"
        mine.write_text(MY_CLOUD)
        for prices in (*book_names(), str(mine)):
            plan = mopar.plan(profile, mopar.PlanOptions(prices=prices, slo_ms=None))
            sizes = ", ".join(f"{function.memory_mib} MiB and {function.cpu:g} CPU" for function in plan.functions)
            usd, unsplit_usd = plan.predicted.cost_per_million_usd, plan.unsplit.cost_per_million_usd
            print(f"{plan.prices}: {usd:.4f} USD per million requests (unsplit {unsplit_usd:.4f}): {sizes}")


if __name__ == "__main__":
    main()
