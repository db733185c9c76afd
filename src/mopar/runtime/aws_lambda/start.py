"""The process of a function on Lambda: its start, its loop, and its end."""

import os
import sys

from mopar.runtime.aws_lambda.api import ApiError, RuntimeApi
from mopar.runtime.aws_lambda.invoked import NO_MEMORY, Invocations
from mopar.runtime.aws_lambda.weights import fetch_weights
from mopar.runtime.config import ConfigError, read_config
from mopar.runtime.engine import Engine, OrtError
from mopar.runtime.function import Function
from mopar.runtime.privileges import give_up_privileges
from mopar.runtime.report import BROKEN, WRONG_USE, end
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from mopar.runtime.aws_lambda.api import Invocation
    from mopar.runtime.config import Config
    from mopar.runtime.graphs import MakeEngine

    Answering = Callable[[Invocation], None]

_USAGE = "usage: python -m mopar.runtime.aws_lambda FUNCTION.json, as a runtime of AWS Lambda"
_MIB_PER_VCPU, _MOST_VCPUS = 1769, 6


def threads_of_memory(memory_mib: int) -> int:
    """Threads of an operator: one for each vCPU that the memory buys. A function sees more of them than it may use."""
    return min(max(1, round(memory_mib / _MIB_PER_VCPU)), _MOST_VCPUS)


def loaded_function(config: "Config", make_engine: "MakeEngine") -> Function:
    """A function with its graphs loaded.

    Raises:
        ConfigError, OrtError, OSError, RefusedError: it cannot be loaded.
    """
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    config.threads = config.threads or threads_of_memory(int(memory) if memory.isdecimal() else 0)
    fetch_weights(config)
    function = Function(config, make_engine)
    function.load()
    return function


def main(make_engine: "MakeEngine" = Engine) -> None:
    """Serve the function that the first argument's file describes, until Lambda ends this process."""

    def load(api: RuntimeApi) -> "Answering":
        return Invocations(api, loaded_function(read_config(sys.argv[1]), make_engine)).serve

    serve_until_ended(_USAGE, load)


def serve_until_ended(usage: str, load: "Callable[[RuntimeApi], Answering]") -> None:
    """Answer one invocation after the other.

    Args:
        usage: printed where the command line or the environment is none of a function's.
        load: initialises the function, whose errors are reported to Lambda; returns what answers an invocation.
    """
    give_up_privileges()
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
    if len(sys.argv) != 2 or not address.rpartition(":")[2].isdecimal():
        end(WRONG_USE, usage)
    api = RuntimeApi(address)
    try:
        _serve(api, load)
    except ApiError as error:
        end(BROKEN, str(error))


def _serve(api: RuntimeApi, load: "Callable[[RuntimeApi], Answering]") -> None:
    try:
        answer = load(api)
    except (ConfigError, OrtError, OSError, RefusedError) as error:
        api.fail_init(type(error).__name__, str(error))
        end(BROKEN, str(error))
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        api.restored()
    while True:
        invocation = api.next()
        try:
            answer(invocation)
        except MemoryError:
            api.fail(invocation.id, "MemoryError", NO_MEMORY)
            end(BROKEN, NO_MEMORY)
        del invocation  # with its message, of which there would be two when the next one arrives
