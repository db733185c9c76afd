"""All verbs in one go, each stage reused where nothing that it depends on has changed."""

from dataclasses import dataclass
from pathlib import Path

from mopar.bundle import Bundle, build, open_bundle
from mopar.files import to_json, write_whole
from mopar.pipeline.profile import Shapes, measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.profiling import Progress
from mopar.profiling.document import write_profile
from mopar.types import BundleError


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where ``mopar up`` keeps what it makes: beside the model, in ``<model>.mopar``."""

    root: Path

    @property
    def profile(self) -> Path:
        """The profile's file."""
        return self.root / "profile.json"

    @property
    def plan(self) -> Path:
        """The plan's file."""
        return self.root / "plan.json"

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.root / "bundle"


def workplace_of(model: Path, folder: Path | None) -> Workplace:
    """The given folder, or the one beside the model."""
    return Workplace(folder if folder is not None else model.with_name(f"{model.name}.mopar"))


def prepare(
    path: Path,
    place: Workplace,
    options: PlanOptions,
    *,
    inputs: Path | None = None,
    shapes: Shapes | None = None,
    use_cache: bool = True,
    progress: Progress = lambda _stage, _share: None,
) -> Bundle:
    """Profile, plan and build, as far as that is not done yet.

    The profile comes from the cache where model, options and machine are the same; the bundle is kept
    where it was built from the same plan.

    Raises:
        MoparError: as the stages raise.
    """
    model, profile = measure_model(path, inputs=inputs, shapes=shapes, use_cache=use_cache, progress=progress)
    place.root.mkdir(parents=True, exist_ok=True)
    write_profile(place.profile, profile)
    progress("planning", None)
    plan = make_plan(profile, options)
    write_whole(place.plan, to_json(plan))
    try:
        bundle = open_bundle(place.bundle)
        if bundle.manifest.plan == plan:
            progress("built before", None)
            return bundle
    except BundleError:
        pass  # absent, damaged, or of an older version: built anew
    build(model, plan, place.bundle, progress=progress)
    return open_bundle(place.bundle, check=False)
