"""One request to a bundle that runs nowhere yet."""

from collections.abc import Callable, Mapping

from mopar.bundle import Bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.platforms import host_platform
from mopar.profiling import sample_inputs


async def answer_once(
    bundle: Bundle, inputs: Mapping[str, Array], deadline_s: float, notice: Callable[[str], None]
) -> dict[str, Array]:
    """Start the bundle's functions under their limits, invoke them once, and stop them.

    Raises:
        InputError: the inputs do not fit.
        EngineError, PlatformError, DeploymentError: a function failed.
    """
    checked, _ = sample_inputs(bundle.manifest.inputs, given=inputs)
    values = {name: from_array(name, value) for name, value in checked.items() if name in inputs}
    bundle = prepare(bundle, cache_directory(), notice)
    async with host_platform().start(bundle, notice=notice) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        try:
            async with executor.infer(values, None, deadline_s) as answer:
                return {value.name: to_array(value).copy() for value in answer.outputs}
        finally:
            await executor.close()
