"""Encoded tensors in messages, the same whatever carries them: how they are described, decoded and made.

Beside a tensor's name, datatype and shape, which are those of the tensor itself:

    {"encoding": "blosc2:lz4-shuffle", "decoded_byte_size": 4096, "crc32": 305419896}

``crc32`` is of the code. Nothing is allocated before the sizes are held to the shape and to the limit on bodies.
"""

from mopar.runtime.engine import STRING, Tensor, packed_bytes
from mopar.runtime.request import RefusedError, sized_tensor
from mopar.runtime.variants import VARIANTS, DamagedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Port
    from mopar.runtime.function import Room
    from mopar.runtime.lossless import Lossless

UNUSABLE = 415
"""Status of a request with a code that cannot be decoded: in HTTP, a content coding that is not supported. Clients send
no codes, so it is no fault of theirs."""
_BYTES = 2
"""ONNX's number of the type of unsigned bytes."""
_MOST_CRC = (1 << 32) - 1


class Encoding:
    """How a tensor is encoded: a text of ``VARIANTS``, and the bytes and the checksum of its code."""

    __slots__ = ("crc32", "nbytes", "text")

    def __init__(self, text: str, nbytes: int, checksum: int) -> None:
        self.text = text
        self.nbytes = nbytes
        self.crc32 = checksum

    def described(self, decoded_bytes: int) -> str:
        """Its members of a JSON object."""
        return f'"encoding":"{self.text}","decoded_byte_size":{decoded_bytes},"crc32":{self.crc32}'


def known_encoding(name: str, text: object) -> str:
    """The text of a codec. Raises RefusedError where it names none."""
    if not isinstance(text, str) or text not in VARIANTS:
        raise RefusedError(400, f"{name}: its encoding must be one of {', '.join(VARIANTS)}")
    return text


def sized_input(
    port: "Port", shape: "tuple[int, ...]", nbytes: int, item: "dict[object, object]"
) -> "tuple[Tensor, Encoding | None]":
    """A tensor of an input without an address, and how it is encoded.

    Args:
        port: the input.
        shape: of the tensor.
        nbytes: that are sent of it.
        item: has the members of an encoded one.

    Raises:
        RefusedError: they do not fit each other.
    """
    text = item.get("encoding")
    if text is None:
        return sized_tensor(port, shape, nbytes), None
    what = f"input {port.name}"
    encoding, decoded, checksum = known_encoding(what, text), item.get("decoded_byte_size"), item.get("crc32")
    if type(decoded) is not int or type(checksum) is not int or not 0 <= checksum <= _MOST_CRC:
        raise RefusedError(400, f"{what}: encoding needs the numbers decoded_byte_size and crc32")
    tensor = sized_tensor(port, shape, decoded)
    if not 0 < nbytes < decoded:
        raise RefusedError(400, f"{what}: a code of {nbytes} bytes, where fewer than {decoded} have to be sent")
    return tensor, Encoding(encoding, nbytes, checksum)


def placed(
    room: "Room", sized: "list[tuple[Tensor, Encoding | None]]", most_bytes: int
) -> "list[tuple[Tensor, memoryview]]":
    """Set the address of each input, and return what is received of it, and where: the input itself, or its code.

    Args:
        room: memory for inputs, and for codes behind them.
        sized: the inputs without addresses, and how they are encoded.
        most_bytes: that the inputs may have.

    Raises:
        RefusedError: they have more, once they are decoded (413), or there is no memory for them (500).
    """
    tensors = [tensor for tensor, _ in sized]
    needed = sum([tensor.nbytes for tensor in tensors])
    if needed > most_bytes:
        raise RefusedError(413, f"inputs of {needed} bytes are too large: the limit is {most_bytes}")
    codes = [_code_tensor(encoding.nbytes) for _, encoding in sized if encoding is not None]
    try:
        views = room.place(tensors + codes)
    except OSError as cause:
        raise RefusedError(500, "there is no memory for the inputs") from cause
    behind = zip(codes, views[len(tensors) :], strict=True)
    own = zip(tensors, views[: len(tensors)], strict=True)
    return [pair if encoding is None else next(behind) for pair, (_, encoding) in zip(own, sized, strict=True)]


def decode_input(
    lossless: "Lossless | None", port: "Port", encoding: Encoding, code: "tuple[Tensor, memoryview]", tensor: Tensor
) -> None:
    """Decode an input to its tensor's address.

    Args:
        lossless: None where the function has no such library.
        port: the input.
        encoding: of it.
        code: its place, and a view of it.
        tensor: with its address.

    Raises:
        RefusedError: the code is damaged, or the function decodes nothing (``UNUSABLE``).
    """
    if lossless is None:
        raise RefusedError(
            UNUSABLE, f"input {port.name}: this function takes no encoded tensors: deploy it again from this bundle"
        )
    if lossless.checksum(code[1]) != encoding.crc32:
        raise RefusedError(UNUSABLE, f"input {port.name}: its code is damaged: its checksum is not {encoding.crc32}")
    item_bytes = _item_bytes(tensor)
    try:
        lossless.decode(encoding.text, item_bytes, code[0].address, encoding.nbytes, tensor.address, tensor.nbytes)
    except DamagedError as cause:
        raise RefusedError(UNUSABLE, f"input {port.name}: {cause}") from cause


def encode_outputs(
    lossless: "Lossless | None",
    room: "Room",
    ports: "list[Port]",
    tensors: "list[Tensor]",
    texts: "list[str | None]",
) -> "list[tuple[Encoding, memoryview] | None]":
    """The code of each output that is to have one; None for those that are sent as they are.

    Those whose code would be larger than planned are among them: the function's memory has no room for it.

    Args:
        lossless: None where the function has no such library.
        room: memory for the codes, which are valid until the next request.
        ports: the outputs.
        tensors: theirs.
        texts: the codec of each.

    Raises:
        RefusedError: there is no memory for codes.
    """
    found: list[tuple[Encoding, memoryview] | None] = [None] * len(tensors)
    pairs = enumerate(zip(tensors, texts, strict=True))
    wanted = [index for index, (tensor, text) in pairs if text is not None and tensor.code != STRING]
    if lossless is None or not wanted:
        return found
    most = [lossless.most_bytes(tensors[index].nbytes, ports[index].most_code_ratio) for index in wanted]
    places = [_code_tensor(nbytes) for nbytes in most]
    try:
        views = room.place(places)
    except OSError as cause:
        raise RefusedError(500, "there is no memory for the outputs' codes") from cause
    for index, place, view in zip(wanted, places, views, strict=True):
        tensor, text = tensors[index], texts[index] or ""
        made = lossless.encode(text, _item_bytes(tensor), tensor.address, tensor.nbytes, place.address, place.nbytes)
        if made:
            found[index] = Encoding(text, made, lossless.checksum(view[:made])), view[:made]
    return found


def _code_tensor(nbytes: int) -> Tensor:
    """What a code is, to memory: bytes."""
    return Tensor(_BYTES, (nbytes,), 0, nbytes)


def _item_bytes(tensor: Tensor) -> int:
    """Bytes of an element, by which they are shuffled."""
    return 1 if tensor.code == STRING else packed_bytes(tensor.code, (1,))
