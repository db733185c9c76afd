"""Options and limits: each wrong value is told in one line, before AWS is asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import functions_that_encode
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.limits import (
    CallBytes,
    bytes_of_calls,
    check_entry_memory,
    check_package,
    check_payloads,
    needing_store,
)
from mopar.platforms.aws_lambda.naming import function_names, role_name
from mopar.platforms.aws_lambda.options import LambdaOptions, check_options
from mopar.platforms.aws_lambda.passed_codes import with_passed_codes
from mopar.platforms.aws_lambda.registry import check_registry
from mopar.platforms.aws_lambda.stack import check_plan
from mopar.platforms.options import parse_options
from mopar.types import MoparError, PlatformError, UsageError
from tests.bundle.plans import built

PLAIN = LambdaOptions()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--architecture arm", "--architecture arm: choose from x86_64, arm64"),
        ("--package-kind tar", "--package-kind tar: choose from auto, zip, image"),
        ("--orchestration steps", "--orchestration steps: choose from gateway, step-functions, entry"),
        ("--entry-mib 1024", "--entry-mib is the entry function's"),
        ("--orchestration entry --entry-mib 127", "--entry-mib 127: Expected `int` >= 128"),
        ("--log-retention-days 2", "--log-retention-days 2: choose from 1, 3, 5, 7"),
        ("--region Frankfurt", "--region 'Frankfurt': write it like eu-central-1"),
        ("--role functions", "--role 'functions': write it like arn:aws:iam::123456789012:role/NAME"),
        ("--bucket My_Bucket", "--bucket 'My_Bucket': write it like my-models"),
        ("--alias 7", "--alias '7': write letters"),
        ("--tag team", "--tag 'team': write KEY=VALUE"),
        ("--tag mopar:deployment=x", "--tag 'mopar:deployment=x': keys that begin with aws: or mopar: are taken"),
        ("--tag a=1 --tag a=2", "--tag: a key is given twice"),
        ("--timeout-s 901", "--timeout-s 901: Expected `int` <= 900"),
        ("--ephemeral-mib 511", "--ephemeral-mib 511: Expected `int` >= 512"),
        ("--ephemeral-mib 10241", "--ephemeral-mib 10241: Expected `int` <= 10240"),
        ("--reserved-concurrency -1", "--reserved-concurrency -1: Expected `int` >= 0"),
        ("--reserved-concurrency 1 --provisioned-concurrency 2", "--provisioned-concurrency 2 is more than"),
        ("--snap-start --provisioned-concurrency 1", "--snap-start and --provisioned-concurrency exclude each other"),
        ("--snap-start --ephemeral-mib 513", "--snap-start takes 512 MiB"),
        ("--snap-start --package-kind image", "--snap-start is for zips"),
        ("--states-role arn:aws:iam::123456789012:role/a", "--states-role is the state machine's"),
        ("--weights-in-bucket", "--weights-in-bucket needs a bucket"),
    ],
)
def test_a_wrong_option_is_named(words: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(parse_options(LambdaOptions, words.split(" "), "aws-lambda"))
    assert str(caught.value).startswith(says)


def test_an_entry_function_that_cannot_hold_a_request_is_named(bundle: Bundle) -> None:
    """Tensors of 0.6 MB, each also in a message, fit beside what it holds anyway."""
    options = LambdaOptions(orchestration="entry", entry_mib=128)
    check_plan(bundle, "demo", options)
    many = [CallBytes(f"c{number}", "f0", 0, 4 << 20) for number in range(12)]
    with pytest.raises(PlatformError, match=r"function entry has 128 MiB, and needs 177 .*: --entry-mib 177"):
        check_entry_memory(many, CallBytes("request", "entry", 100, 100), 128)
    unknown = [CallBytes(f"c{number}", "f0", None, None) for number in range(12)]
    with pytest.raises(PlatformError, match="function entry has 128 MiB"):
        check_entry_memory(unknown, CallBytes("request", "entry", 100, 100), 128)


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two functions, of which the first answers 0.6 MB."""
    return built(reference("two_input"), tmp_path_factory.mktemp("lambda") / "bundle", 2)


def sized(bundle: Bundle, memory_mib: int) -> Bundle:
    plan = bundle.manifest.plan
    functions = (plan.functions[0], replace(plan.functions[1], memory_mib=memory_mib))
    return replace(bundle, manifest=replace(bundle.manifest, plan=replace(plan, functions=functions)))


@pytest.mark.parametrize("memory_mib", [33, 127, 10241])
def test_memory_that_lambda_does_not_sell(bundle: Bundle, memory_mib: int) -> None:
    with pytest.raises(
        PlatformError, match=rf"function f1 has a memory of {memory_mib} MiB.*128 to 10240 MB: plan with --platform"
    ):
        check_plan(sized(bundle, memory_mib), "demo", PLAIN)


def test_memory_that_lambda_sells(bundle: Bundle) -> None:
    for memory_mib in (128, 10240):
        check_plan(sized(bundle, memory_mib), "demo", PLAIN)


def package(**changes: Any) -> FunctionPackage:
    plain = FunctionPackage("f1", "zip", Path("f1.zip"), 9, 9, "0" * 64, "x86_64", "python3.12", "bootstrap.handler")
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"packed_bytes": (50 << 20) + 1}, {}, "function f1: its archive, sent directly, has 50.0 MB"),
        ({"unpacked_bytes": (250 << 20) + 1}, {"bucket": "b-b"}, "function f1: its unzipped archive has 250.0 MB"),
        ({"kind": "image", "unpacked_bytes": (10 << 30) + 1}, {}, "function f1: its image has 10240.0 MB"),
        ({"environment": {"A": "x" * 4096}}, {}, "function f1 has 4097 bytes of environment variables"),
        ({"kind": "image"}, {"snap_start": True}, "function f1 is an image, which has no SnapStart"),
    ],
)
def test_a_package_that_lambda_does_not_take(changes: dict[str, Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(PlatformError) as caught:
        check_package(package(**changes), replace(PLAIN, **options), direct=True)
    assert str(caught.value).startswith(says)
    assert ": " in str(caught.value).removeprefix(says), "what would do"


def test_a_package_at_the_limits() -> None:
    largest = package(packed_bytes=50 << 20, unpacked_bytes=250 << 20, environment={"A": "x" * 4095})
    check_package(largest, PLAIN, direct=True)
    check_package(package(packed_bytes=60 << 20), replace(PLAIN, bucket="b-b"), direct=True)
    check_package(package(packed_bytes=60 << 20), PLAIN, direct=False)


def test_codes_count_as_large_as_the_plan_expects_them(bundle: Bundle) -> None:
    """Of the first call's tensors half of one, and a quarter of all that it makes, which the second reads."""
    first, _ = bundle.manifest.plan.calls
    ratios = {first.inputs[0].tensor: 0.5, **dict.fromkeys(first.outputs, 0.25)}
    plan = replace(bundle.manifest.plan, code_ratios=ratios)
    plain, coded = (bytes_of_calls(replace(bundle.manifest, plan=one)) for one in (bundle.manifest.plan, plan))
    assert (plain[0].read_saved, plain[0].made_saved) == (0, 0)
    assert 0 < coded[0].read_saved < (coded[0].read or 0)
    assert coded[0].made is not None
    assert coded[0].made_saved == coded[0].made * 3 // 4
    assert coded[1].read_saved == (coded[1].read or 0) * 3 // 4
    assert [call.read for call in coded] == [call.read for call in plain]
    assert needing_store(coded) == needing_store(plain)


def test_codecs_are_those_that_what_runs_the_plan_passes_on(bundle: Bundle) -> None:
    """A state machine passes on none, an entry function none of the model's own tensors; limits count the same."""
    own = {spec.name for spec in (*bundle.manifest.inputs, *bundle.manifest.outputs)}
    names = own | {name for call in bundle.manifest.plan.calls for name in call.outputs}
    codecs, ratios = dict.fromkeys(names, "blosc2:lz4-shuffle"), dict.fromkeys(names, 0.5)
    lossy = {"lossy": "int8", "both": "uniform:5+blosc2:zstd-shuffle"}
    plan = replace(bundle.manifest.plan, codecs={**codecs, **lossy}, code_ratios={**ratios, "both": 0.5})
    coded = replace(bundle, manifest=replace(bundle.manifest, plan=plan, codes={"both": ("uniform",)}))
    for name, kept in (("gateway", names), ("entry", names - own), ("step-functions", set())):
        found = with_passed_codes(coded, LambdaOptions(orchestration=name)).manifest
        assert found.plan.codecs.keys() - lossy.keys() == found.plan.code_ratios.keys() - {"both"} == kept
        assert found.plan.codecs["lossy"] == "int8"
        assert found.plan.codecs["both"] == ("uniform:5" if name == "step-functions" else lossy["both"])
        assert ("both" in found.plan.code_ratios) == (name != "step-functions")
        assert bool(functions_that_encode(found)) == bool(kept)
        assert [call.read_saved > 0 for call in bytes_of_calls(found)] == [name == "gateway", bool(kept)]


def test_messages_that_lambda_does_not_pass_need_a_bucket(bundle: Bundle) -> None:
    calls = bytes_of_calls(bundle.manifest)
    (first, second) = calls
    assert first.read == (3 * 96 * 96 + 512) * 4
    assert first.made is not None
    assert second.read is not None
    check_payloads(calls, PLAIN)
    assert needing_store(calls) == frozenset()
    large = (replace(first, read=first.read * 50), second)
    with pytest.raises(PlatformError, match=r"f0 is sent 7.5 MB in call c0, and Lambda passes 6.3 MB: .*--bucket"):
        check_payloads(large, PLAIN)
    check_payloads((replace(large[0], read_saved=3 << 20), second), PLAIN)
    check_payloads(large, replace(PLAIN, bucket="b-b"))
    assert needing_store(large) == {"f0"}
    unknown = replace(first, made=None)
    check_payloads((unknown, second), PLAIN)
    assert needing_store((unknown, second)) == {"f0", "f1"}, "the second reads what the first may have stored"
    alone = replace(first, read=1 << 23)
    assert needing_store((alone, replace(second, sources=()))) == {"f0"}
    assert needing_store((alone, replace(second, sources=first.sources))) == {"f0", "f1"}, "it may be stored already"


def test_names_that_are_too_long() -> None:
    name = "n" * 40
    with pytest.raises(MoparError, match="shorten --name"):
        function_names(name, ["f" * 40])
    with pytest.raises(PlatformError, match=r"the role of n+ would be called .*64 characters: choose a shorter --name"):
        role_name(name + "n" * 20, "eu-central-1")
    with pytest.raises(PlatformError, match="two functions of demo would have the same name on Lambda"):
        function_names("demo", ["f_0", "f-0"])


@pytest.mark.parametrize(
    ("registry", "says"),
    [
        ("", "Lambda takes images of Amazon's registry"),
        ("registry.local:5000/team", "Lambda takes images of Amazon's registry"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/a", "is in us-east-1, and the functions in eu-central-1"),
    ],
)
def test_a_registry_that_lambda_does_not_take(registry: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_registry(registry, "eu-central-1")
    check_registry("123456789012.dkr.ecr.eu-central-1.amazonaws.com/a", "eu-central-1")
