"""The public names are stable: adding one is a decision, losing one is a breaking change."""

import mopar

PUBLIC = [
    "MoparError", "PlanOptions", "ServeOptions", "__version__",
    "build", "deploy", "infer", "load", "plan", "profile", "remove", "serve", "verify",
]  # fmt: skip


def test_public_names_are_these() -> None:
    assert sorted(mopar.__all__) == sorted(PUBLIC)
    assert dir(mopar) == sorted(PUBLIC)


def test_each_public_name_is_there_and_documented() -> None:
    for name in PUBLIC:
        found = getattr(mopar, name)
        assert isinstance(found, str) or found.__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(mopar, "no_such_name")
