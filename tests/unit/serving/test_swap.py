"""A change of model in several processes: who is told what, and when the change happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.serving.board import Board
from spotify_mlops.serving.metrics import Metrics
from spotify_mlops.serving.models import Generations
from spotify_mlops.serving.swap import Failed, Listen, Load, Order, Swap


class World:
    """Processes that do what they are told when the test lets them, with a real swap."""

    def __init__(self, workers: int) -> None:
        self.board = Board.shared(1 + workers)
        self.metrics = Metrics(self.board)
        self.swap = Swap(self.board, self.metrics)
        self.orders: dict[int, list[Order]] = {}
        self.held: dict[int, set[int]] = {}
        self.listening: set[int] = set()

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.orders[number] = []
            self.held[number] = set()
            self.swap.started(number, self.orders[number].append)

    def obey(self, number: int) -> None:
        """Let a process do the next thing that it was told."""
        order = self.orders[number].pop(0)
        if isinstance(order, Listen):
            self.listening.add(number)
        else:
            self.held[number].add(order.generation)
            self.swap.loaded(number, order.generation)

    def kill(self, number: int) -> bool:
        del self.orders[number], self.held[number]
        self.listening.discard(number)
        return self.swap.ended(number)

    def obey_all(self) -> None:
        while busy := [number for number, orders in self.orders.items() if orders]:
            self.obey(busy[0])


@pytest.fixture
def world() -> World:
    """Give two processes that have loaded the first champion."""
    world = World(2)
    world.swap.propose("1")
    world.start(1, 2)
    world.obey_all()
    assert world.board.generation == 1
    return world


def test_nobody_answers_before_all_hold_the_first_model() -> None:
    world = World(2)
    world.swap.propose("1")
    world.start(1, 2)
    assert world.orders == {1: [Listen(), Load(1, "1")], 2: [Listen(), Load(1, "1")]}
    for _ in range(2):  # they accept at once, to say that there is no model yet
        world.obey(1)
    world.obey(2)
    assert (world.board.generation, world.board.listening) == (0, 2)
    world.obey(2)
    assert world.board.generation == 1


def test_the_change_waits_for_the_last(world: World) -> None:
    world.swap.propose("2")
    world.obey(2)
    assert world.board.generation == 1
    world.obey(1)
    assert world.board.generation == 2


def test_only_the_latest_proposal_counts(world: World) -> None:
    world.swap.propose("2")
    world.obey(1)
    world.swap.propose("3")
    world.obey(2)  # the second, which is no longer wanted
    assert world.board.generation == 1
    world.obey_all()
    assert world.board.generation == 3


def test_one_that_cannot_load_keeps_the_model_from_answering_anywhere(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.swap.propose("2")
    world.orders[1].clear()
    world.swap.failed(Failed(2, "model.onnx no tiene el SHA-256", 6))
    world.obey(2)
    assert world.board.generation == 1
    assert caplog.messages == [
        "El nuevo campeón no se puede cargar: model.onnx no tiene el SHA-256"
    ]
    assert b'endpoint_model_loads_total{result="error"} 1.0' in world.metrics.text()
    world.swap.propose("2")
    world.obey_all()
    assert world.board.generation == 3
    assert b'endpoint_model_loads_total{result="ok"} 2.0' in world.metrics.text()


def test_without_a_first_model_there_is_no_server() -> None:
    world = World(1)
    world.swap.propose("1")
    world.start(1)
    with pytest.raises(UserError, match="No hay modelo") as raised:
        world.swap.failed(Failed(1, "No hay modelo", 3))
    assert raised.value.exit_code == 3


def test_one_that_takes_the_place_of_another_loads_before_it_accepts(world: World) -> None:
    assert world.kill(1)
    assert world.board.listening == 1
    world.start(1)
    assert world.orders[1] == [Load(1, "1")]
    world.obey(1)
    assert world.orders[1] == [Listen()]
    assert world.board.listening == 2


def test_a_change_while_another_starts_waits_neither_for_it_nor_misses_it(world: World) -> None:
    world.kill(1)
    world.start(1)
    world.swap.propose("2")
    world.obey(2)
    assert world.board.generation == 2  # nobody else accepts requests
    world.obey(1)  # the first, of which it had been told
    assert world.orders[1] == [Load(2, "2")]
    world.obey_all()
    assert world.listening == {1, 2}
    # Of a change that is under way it hears as it begins to accept.
    assert world.kill(2)
    world.start(2)
    world.swap.propose("3")
    world.obey(2)
    assert world.orders[2] == [Listen(), Load(3, "3")]
    world.obey(1)
    assert world.board.generation == 2
    world.obey_all()
    assert world.board.generation == 3


def test_the_death_of_the_last_that_was_waited_for_is_no_reason_to_wait(world: World) -> None:
    world.swap.propose("2")
    world.obey(1)
    world.kill(2)
    assert world.board.generation == 2


def test_without_anybody_nothing_changes(world: World) -> None:
    world.swap.propose("2")
    world.kill(1)
    world.kill(2)
    assert world.board.generation == 1
    world.start(1)
    assert not world.kill(1)
    world.start(1, 2)
    world.obey_all()
    assert world.board.generation == 2


@given(
    st.lists(st.tuples(st.sampled_from(["obey", "kill", "start", "propose"]), st.integers(1, 3)))
)
def test_whatever_the_order_who_accepts_holds_what_answers(steps: list[tuple[str, int]]) -> None:
    world = World(3)
    world.swap.propose("1")
    world.start(1, 2, 3)
    last = 1
    for step, number in steps:
        before = world.board.generation
        runs = number in world.orders
        if step == "propose":
            last += 1
            world.swap.propose(str(last))
        elif step == "start" and not runs:
            world.start(number)
        elif step == "kill" and runs and world.swap.has_model:
            world.kill(number)
        elif step == "obey" and runs and world.orders[number]:
            world.obey(number)
        assert world.board.generation >= before
        if world.board.generation:
            assert all(world.board.generation in world.held[n] for n in world.listening)
    world.start(*({1, 2, 3} - world.orders.keys()))
    world.obey_all()
    assert world.board.generation == last
    assert world.listening == {1, 2, 3}
    assert world.board.listening == 3


class Model:
    """Stands for a predictor: it has a name."""

    def __init__(self, name: str | None) -> None:
        self.name = name


def test_a_process_answers_by_what_the_board_says_or_not_at_all() -> None:
    def load(version: str | None) -> Predictor:
        return Model(version)  # type: ignore[return-value]

    board = Board.shared(2)
    assert board.descriptor is not None
    models = Generations(Board.opened(board.descriptor), load)
    models.load(1, "a")
    with pytest.raises(ServiceError, match="cargando"):
        models.current()
    board.generation = 1
    assert models.current().name == "a"
    models.load(2, "b")
    assert models.current().name == "a"
    board.generation = 2
    assert models.current().name == "b"
    board.generation = 3  # of which it was not told
    with pytest.raises(ServiceError):
        models.current()


def test_the_counts_are_of_all_and_go_on_after_a_death() -> None:
    board = Board.shared(3)
    supervisor, first, second = (Metrics(board, row) for row in range(3))
    first.answered(3, 0.002)
    first.wait(2)
    second.answered(1, 9.0)
    second.refused(404, 0.0025)
    second.wait(1)
    supervisor.loaded()
    supervisor.ended(1)
    again = Metrics(board, 1)
    again.answered(1, 0.0001)
    board.listening = 2
    text = again.text().decode()
    for line in (
        'endpoint_requests_total{status="200"} 3.0',
        'endpoint_requests_total{status="404"} 1.0',
        "endpoint_instances_total 5.0",
        'endpoint_request_seconds_bucket{le="0.00025"} 1.0',
        'endpoint_request_seconds_bucket{le="0.0025"} 3.0',
        'endpoint_request_seconds_bucket{le="5.0"} 3.0',
        'endpoint_request_seconds_bucket{le="+Inf"} 4.0',
        "endpoint_request_seconds_count 4.0",
        "endpoint_requests_under_way 1.0",
        'endpoint_model_loads_total{result="ok"} 1.0',
        "endpoint_workers 2.0",
    ):
        assert f"\n{line}\n" in text
    for worker in "012":
        assert f'process_resident_memory_bytes{{worker="{worker}"}} ' in text
    assert _counted(text) == _counted(second.text().decode())
    assert _counted(text) == _counted(supervisor.text().decode())


def _counted(text: str) -> list[str]:
    """Return what does not change while nobody asks: memory and processor time do."""
    return [line for line in text.splitlines() if not line.startswith("process_")]
