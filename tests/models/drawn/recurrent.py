"""LSTM, GRU and RNN over ``(n, rows, width)``, in one direction or both."""

from tests.models.drawn.drawing import Drawing, Tensor

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(d: Drawing, x: Tensor) -> Tensor:
    """States of every row."""
    steps, _ = _run(d, x)
    batch, rows = x.dims[:2]
    directions, hidden = steps.dims[1], steps.dims[3]
    assert isinstance(directions, int)
    assert isinstance(hidden, int)
    if directions == 1 and d.chance():
        return d.transpose(d.op("Squeeze", steps, d.ints(1), dims=(rows, batch, hidden)), 1, 0, 2)
    moved = d.transpose(steps, 2, 0, 1, 3)
    return d.reshape(moved, (batch, rows, directions * hidden))


def last_state(d: Drawing, x: Tensor) -> Tensor:
    """``(n, width)``: the state after the last row."""
    _, last = _run(d, x)
    directions, batch, hidden = last.dims
    assert isinstance(directions, int)
    assert isinstance(hidden, int)
    if directions == 1:
        return d.op("Squeeze", last, d.ints(0), dims=(batch, hidden))
    return d.reshape(d.transpose(last, 1, 0, 2), (batch, directions * hidden))


def _run(d: Drawing, x: Tensor) -> tuple[Tensor, Tensor]:
    operator, hidden = d.pick("LSTM", "LSTM", "GRU", "RNN"), d.number(2, 9)
    direction = d.pick("forward", "reverse", "bidirectional", "bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    gates, batch, rows = _GATES[operator] * hidden, *x.dims[:2]
    weights = [d.floats(directions, gates, x.width, fan_in=x.width), d.floats(directions, gates, hidden, fan_in=hidden)]
    if d.chance(0.8):
        weights.append(d.floats(directions, 2 * gates))
    attributes = {"hidden_size": hidden, "direction": direction}
    if operator == "GRU" and d.chance():
        attributes["linear_before_reset"] = 1
    if isinstance(batch, int) and len(weights) == 3 and d.chance(0.3):
        weights += ["", d.floats(directions, batch, hidden)]
    moved = d.transpose(x, 1, 0, 2)
    dims = (rows, directions, batch, hidden), (directions, batch, hidden)
    steps, last = d.ops(operator, [moved, *weights], dims, **attributes)
    return steps, last


BLOCKS = (recurrent,)
