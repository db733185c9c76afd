"""The note about a profile that was measured on a busy machine."""

from mopar.cli.output import Output
from mopar.types import Profile


def note_load(out: Output, profile: Profile) -> None:
    """Print a note where other processes used the machine while layers were timed."""
    from mopar.profiling.machine_load import busy_text, is_busy

    if profile.load is not None and is_busy(profile.load):
        out.notice(
            f"the profile was measured on a busy machine ({busy_text(profile.load)}): its times, and what follows from "
            "them, may be off; measure again with --no-cache when nothing else runs"
        )
