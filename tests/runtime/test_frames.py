"""Every frame survives a round trip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.runtime import frames
from mopar.runtime.frames import TensorRef
from mopar.runtime.strings import pack_strings, unpack_strings

# A path may contain bytes that are not UTF-8: Python represents them as lone surrogates.
PATHS = st.binary(max_size=30).map(lambda path: path.decode("utf-8", "surrogateescape"))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | PATHS
NUMBERS = st.integers(0, 2**64 - 1)
SHAPES = st.lists(st.integers(0, 2**63 - 1), max_size=12).map(tuple) | st.just((1,) * 255)
REFS = st.builds(TensorRef, st.integers(0, 255), SHAPES, st.integers(0, 2**32 - 1), NUMBERS, NUMBERS, st.booleans())
MANY = st.lists(REFS, max_size=6)


def fields_of(ref: TensorRef) -> tuple[object, ...]:
    return ref.code, ref.shape, ref.segment, ref.offset, ref.nbytes, ref.foreseen


def all_told(refs: list[TensorRef]) -> list[tuple[object, ...]]:
    return [fields_of(ref) for ref in refs]


def arrived(frame: bytes, kind: int) -> memoryview:
    """The frame as received, checked to be of the same kind."""
    assert frames.kind_of(frame) == kind
    return memoryview(frame)


@given(TEXTS, st.integers(0, 2**16 - 1))
def test_init(library: str, threads: int) -> None:
    assert frames.unpack_init(arrived(frames.pack_init(library, threads), frames.INIT)) == (library, threads)


@given(TEXTS, st.integers(0, 15), st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=5))
def test_load(path: str, flags: int, inputs: list[str], outputs: list[str]) -> None:
    """Also names that are empty, and graphs without inputs."""
    got = frames.unpack_load(arrived(frames.pack_load(path, flags, inputs, outputs), frames.LOAD))
    assert got == (path, flags, tuple(inputs), tuple(outputs))


@given(st.integers(0, 2**32 - 1), NUMBERS)
def test_attach_and_detach(segment: int, size: int) -> None:
    assert frames.unpack_segment(arrived(frames.pack_attach(segment, size), frames.ATTACH)) == (segment, size)
    assert frames.unpack_segment(arrived(frames.pack_detach(segment), frames.DETACH)) == (segment, 0)


@given(st.integers(0, 2**16 - 1), MANY, MANY)
def test_run(graph: int, inputs: list[TensorRef], outputs: list[TensorRef]) -> None:
    got, got_inputs, got_outputs = frames.unpack_run(arrived(frames.pack_run(graph, inputs, outputs), frames.RUN))
    assert (got, all_told(got_inputs), all_told(got_outputs)) == (graph, all_told(inputs), all_told(outputs))


@given(NUMBERS, NUMBERS, MANY)
def test_fetch_and_done(held_ns: int, compute_ns: int, outputs: list[TensorRef]) -> None:
    fetched = frames.unpack_fetch(arrived(frames.pack_fetch(outputs), frames.FETCH))
    got = frames.unpack_done(arrived(frames.pack_done(held_ns, compute_ns, outputs), frames.DONE))
    assert all_told(fetched) == all_told(outputs)
    assert (*got[:2], all_told(got[2])) == (held_ns, compute_ns, all_told(outputs))


@pytest.mark.parametrize("how", [0, frames.PASSED, frames.MISFIT])
def test_done_says_whether_it_was_passed_on_or_misfits(how: int) -> None:
    done = memoryview(frames.pack_done(1, 2, [], how=how))
    assert (frames.was_passed(done), frames.misfits(done)) == (how == frames.PASSED, how == frames.MISFIT)


@given(st.integers(0, 2**16 - 1), MANY, st.integers(0, 2**32 - 1), NUMBERS)
def test_chain(peer: int, inputs: list[TensorRef], segment: int, abort: int) -> None:
    """A chain in a chain too; each is by so many bytes longer than what is in it."""
    run = frames.pack_run(3, inputs, [])
    inner = frames.pack_chain(run, 0, run, segment, abort)
    outer = arrived(frames.pack_chain(run, peer, inner, segment, abort), frames.CHAIN)
    got, *rest = frames.unpack_chain(outer)
    assert (bytes(got), *rest) == (run, peer, inner, segment, abort)
    assert len(outer) == 3 * len(run) + 2 * frames.CHAIN_BYTES


@given(st.sampled_from([frames.PEER, frames.PING, frames.PONG]), st.integers(0, 2**32 - 1))
def test_numbers(kind: int, number: int) -> None:
    assert frames.number_of(arrived(frames.pack_number(kind, number), kind)) == number


@given(TEXTS)
def test_failed(text: str) -> None:
    for refused in (False, True):
        frame = arrived(frames.pack_failed(text, refused=refused), frames.FAILED)
        assert frames.unpack_failed(frame) == (text, refused)


def test_ready_is_a_frame_of_its_own() -> None:
    assert frames.kind_of(frames.pack_ready()) == frames.READY


def test_what_does_not_fit_a_message_is_refused_before_it_is_sent() -> None:
    """The kernel would refuse it too, but could not name what was too long."""
    with pytest.raises(ValueError, match=r"m\.onnx: the names of its 2 inputs and outputs are too long"):
        frames.pack_load("m.onnx", 0, ["x" * frames.MAX_FRAME], ["y"])
    with pytest.raises(ValueError, match="5000 inputs and 0 outputs"):
        frames.pack_run(0, [TensorRef(1, (1, 2), 1, 0, 8)] * 5000, [])
    assert len(frames.pack_failed("☃" * frames.MAX_FRAME)) < frames.MAX_FRAME


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_strings_come_back(elements: list[bytes]) -> None:
    assert unpack_strings(pack_strings(elements)) == elements


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.data())
def test_strings_cut_short_are_noticed(elements: list[bytes], data: st.DataObject) -> None:
    packed = pack_strings(elements)
    ends = {len(pack_strings(elements[:count])) for count in range(len(elements))}
    length = data.draw(st.integers(1, len(packed) - 1).filter(lambda length: length not in ends))
    with pytest.raises(ValueError, match=r"cut off|overruns"):
        unpack_strings(packed[:length])


@given(TEXTS, st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_what_a_function_serves_arrives(function: str, graphs: list[tuple[str, str]]) -> None:
    frame = arrived(frames.pack_hello(function, graphs), frames.HELLO)
    assert frames.unpack_hello(frame) == (function, graphs)
