"""``python -m tests.golden [MODEL ..]`` writes the golden files again, from the stored profiles.

With ``--profiles`` these are first predicted again, for this machine: plans then change with the machine.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor

from tests.golden.outputs import output_path, outputs
from tests.golden.plans import MODELS, PLANS, answer, answers_text, kept_answers, questions, write_profile


def main() -> None:
    """Write the files that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="only their plans; default: those of all")
    parser.add_argument("--profiles", action="store_true", help="predict the profiles anew")
    parser.add_argument("--quick", action="store_true", help="leave the plans out that only `make slow` compares")
    options = parser.parse_args()
    for model in options.models or MODELS:
        if options.profiles:
            write_profile(model)
        write_plans(model, quick=options.quick)
    for name, printed in outputs().items():
        output_path(name).write_text(printed())


def write_plans(model: str, *, quick: bool) -> None:
    """Plan a model again; with ``quick``, the records of plans that take long are kept."""
    wanted = [question for question in questions() if question.model == model and (question.is_quick or not quick)]
    with ProcessPoolExecutor() as pool:
        made = dict(zip(map(str, wanted), pool.map(answer, wanted), strict=True))
    known = kept_answers() | made
    PLANS.write_text(answers_text({name: known[name] for name in map(str, questions()) if name in known}))


if __name__ == "__main__":
    main()
