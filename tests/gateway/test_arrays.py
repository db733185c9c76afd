import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.gateway.arrays import Array, from_array, numpy_dtype, to_array
from mopar.runtime.strings import unpack_strings
from mopar.types import DTYPES, DType, InputError, TensorValue, dtype_of_oip, element_count, oip_of

NUMBERS = [dtype for dtype in DTYPES if dtype.bits]
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@given(kind=st.sampled_from(NUMBERS), shape=SHAPES, data=st.data())
def test_any_bytes_survive_the_way_through_numpy(kind: DType, shape: tuple[int, ...], data: st.DataObject) -> None:
    count = element_count(shape)
    size = kind.nbytes(count)
    raw = data.draw(st.binary(min_size=size, max_size=size))
    if kind.bits == 4 and count % 2:
        raw = raw[:-1] + bytes([raw[-1] & 0x0F])  # the unused half of the last byte
    if kind.name == "bool":
        raw = bytes(byte & 1 for byte in raw)
    array = to_array(TensorValue("t", kind.name, shape, raw))
    assert (array.shape, array.dtype) == (shape, numpy_dtype(kind.name))
    back = from_array("t", array)
    assert (back.dtype, back.shape, bytes(back.data)) == (kind.name, shape, raw)


@given(shape=SHAPES, data=st.data())
def test_strings_survive_and_bytes_that_are_no_text_stay_bytes(shape: tuple[int, ...], data: st.DataObject) -> None:
    count = element_count(shape)
    item = st.one_of(st.text(), st.binary().filter(lambda raw: not _is_text(raw)))
    strings = data.draw(st.lists(item, min_size=count, max_size=count))
    array = np.empty(count, object)
    array[:] = strings
    assert to_array(from_array("t", array.reshape(shape))).ravel().tolist() == strings


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_int4_is_stored_low_half_first_with_its_sign() -> None:
    value = from_array("t", np.array([1, -2, 7], ml_dtypes.int4))
    assert bytes(value.data) == bytes([0xE1, 0x07])
    assert to_array(value).tolist() == [1, -2, 7]


def test_layout_and_byte_order_of_an_array_do_not_matter() -> None:
    plain = np.arange(6, dtype="<i4").reshape(2, 3)
    for other in (np.asfortranarray(plain), plain.astype(">i4"), np.repeat(plain, 2, axis=1)[:, ::2]):
        assert bytes(from_array("t", other).data) == plain.tobytes()


def test_contiguous_arrays_are_not_copied() -> None:
    array = np.zeros(4, np.float32)
    data = from_array("t", array).data
    array[0] = 1
    assert np.frombuffer(data, np.float32)[0] == 1


def test_every_type_has_a_word_of_its_own_that_reads_back() -> None:
    assert [dtype_of_oip(oip_of(dtype)) for dtype in DTYPES] == list(DTYPES)


@pytest.mark.parametrize("raw", [b"\0", b"\0\0\0\0\1", b"\2\0\0\0a", b"\xff\xff\xff\xff"])
def test_broken_strings_are_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|overruns the data"):
        unpack_strings(raw)


@pytest.mark.parametrize("array", [np.array(["2020"], "M8[Y]"), np.zeros(1, "V3"), np.zeros(1, np.longdouble)])
def test_arrays_without_a_counterpart_are_named(array: Array) -> None:
    with pytest.raises(InputError, match=r"^pixels: "):
        from_array("pixels", array)
