"""What a function's process gives up when it starts."""

import ctypes

_PR_SET_NO_NEW_PRIVS = 38


def give_up_privileges() -> None:
    """Set ``no_new_privs``: no program that this process runs can gain privileges, as by setuid."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
