"""Mistakes in the platform's options are named before anything is sent."""

from pathlib import Path

import pytest

from mopar.platforms.openfaas.options import OpenFaasOptions, called_at, check_options
from mopar.platforms.options import parse_options
from mopar.types import UsageError

MISTAKES = {
    "--gateway=127.0.0.1:8080": "write http://HOST:PORT",
    "--gateway=http://host:port": "write http://HOST:PORT",
    "--gateway=http://admin:secret@host": r"http://\.\.@host: passwords do not belong on the command line",
    "--gateway=https://host": "functions are called by http, not https",
    "--invoke=sideways": "choose from gateway, direct",
    "--invoke=direct --address=http://f:8080": r"write \{name\} where",
    "--gateway-memory=128MB": "such as 128M$",
    "--gateway-memory=64m": "such as 64Mi$",
    "--gateway-cpu=1.5 CPUs": "such as 500m or 2",
    "--replicas=-1": "--replicas -1",
    "--ready-s=inf": "--ready-s inf",
    "--gateway-function --token-file=t": "leave it out with --gateway-function",
    "--password=secret": "no such option",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_named(words: str) -> None:
    with pytest.raises(UsageError, match=MISTAKES[words]) as caught:
        check_options(parse_options(OpenFaasOptions, words.replace(" --", "\0--").split("\0"), "openfaas"))
    assert "\n" not in str(caught.value)
    assert "admin:secret" not in str(caught.value)


def test_where_functions_are_called() -> None:
    outside = OpenFaasOptions(gateway="http://gw:8080", namespace="ml")
    assert called_at(outside, "r-f0") == "http://gw:8080/function/r-f0.ml"
    inside = OpenFaasOptions(gateway="http://gw:8080", gateway_function=True, inner_gateway="http://inner:8080/")
    assert called_at(inside, "r-f0") == "http://inner:8080/function/r-f0"
    direct = OpenFaasOptions(invoke="direct")
    assert called_at(direct, "r-f0") == "http://r-f0.openfaas-fn.svc.cluster.local:8080"
    tls = parse_options(OpenFaasOptions, ["--gateway", "https://gw/", "--invoke", "direct"], "openfaas")
    assert check_options(tls).gateway == "https://gw"
    assert check_options(OpenFaasOptions(images=Path("images.json"))).images == Path("images.json")
