"""How the child process sets up its engine."""

from tagent.adapters.models.embedded_server import parameters


def test_answers_on_the_socket_and_nowhere_else() -> None:
    """No port opens, so nobody else on the machine or in the network can ask."""
    chosen = parameters("/weights.gguf", "/folder")
    assert chosen.hostnames == ["/folder/model.sock"]
    assert chosen.port == 0
    assert chosen.model.path == "/weights.gguf"


def test_leaves_room_for_the_machine_s_other_work() -> None:
    """Measured: with a thread for each processor a busy machine falls to one token a second."""
    for processors in (parameters("f", "d").cpuparams, parameters("f", "d").cpuparams_batch):
        assert processors.n_threads >= 1
        assert processors.poll == 0
