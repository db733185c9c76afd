from mopar.machine import machine_facts
from mopar.runtime.cpu import cpu_kind


def test_packed_weights_of_cpus_with_other_vector_units_are_kept_apart() -> None:
    old = frozenset({"sse2", "avx2", "fma"})
    new = old | {"avx512f", "avx512bw", "avx512_vnni"}
    assert cpu_kind("x86_64", old) == "x86_64-avx2-fma"
    assert cpu_kind("x86_64", new) == "x86_64-avx2-fma-avx512-bw-vnni"
    assert cpu_kind("riscv64", new) == "riscv64"


def test_a_cpu_kind_ignores_what_the_engine_does_not_choose_by() -> None:
    assert cpu_kind("x86_64", frozenset({"avx2", "rdrand"})) == cpu_kind("x86_64", frozenset({"avx2"}))


def test_this_machine_is_described_in_full() -> None:
    facts = machine_facts()
    assert facts.cores >= 1
    assert facts.memory_mib > 0
    assert all((facts.cpu_model, facts.cpu_kind, facts.kernel, facts.python, facts.onnxruntime, facts.mopar))
