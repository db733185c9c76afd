"""A mistake in a rule costs speed, never a correct output or the profile."""

from collections.abc import Callable

import pytest
from onnx import helper

from mopar.sharding import ConflictError, Piece
from mopar.sharding import rule as rules
from mopar.sharding.rule import Rule, Sharded, View, Wanted
from tests.sharding.cases import check_piece, floats
from tests.sharding.oracle import check_sum, node_model


def _half(wanted: Wanted) -> Sharded:
    return Sharded((Piece(0, ((0, 1),)),), (Piece(0, ((0, 1),)),) * len(wanted))


MISTAKES: dict[str, Callable[[View, Wanted], Sharded | None]] = {
    "an empty span": lambda _view, _wanted: Sharded((Piece(0, ((2, 2),)),), (Piece(0, ((2, 2),)),)),
    "less than asked": lambda _view, wanted: _half(wanted),
    "beyond the tensor": lambda _view, wanted: Sharded((Piece(0, ((2, 9),)),), wanted),
    "no such axis": lambda _view, wanted: Sharded((Piece(7, ((0, 1),)),), wanted),
    "no such input": lambda view, wanted: Sharded((wanted[view.attribute_ints("none") is None],), wanted),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_rule_that_fails_leaves_the_node_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Rule = MISTAKES[name]
    monkeypatch.setitem(rules._RULES, ("", "Relu"), broken)
    model = node_model(helper.make_node("Relu", ["x"], ["y"]), {"x": floats(4, 3)}, {})
    with pytest.warns(RuntimeWarning, match=r"Relu .* is computed whole, since its rule failed"):
        check_piece(model, {"x": floats(4, 3)}, {"y": Piece(0, ((1, 3),))})
    with pytest.warns(RuntimeWarning, match="rule failed"), pytest.raises(ConflictError):
        check_sum(model, {"x": floats(4, 3)}, 2)
