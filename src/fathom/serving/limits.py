"""How much of everything a server takes, each with its reason: the one table of its bounds.

Bounds of the fields of a request are the shapes'.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20

BEAT_SECONDS = 0.5  # between two signs of life of a worker


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds.

    Attributes:
        body: a request's; pictures come inside, and a prompt of a million tokens is 4 MB.
        header: all of a request's together.
        header_seconds: until the headers are there: slow ones hold a connection.
        body_seconds: until the body is there.
        connections: at once; more are refused at the door.
        requests: asks on their way in all models together, before anything of one is read.
        queue_requests: that may wait for one model.
        queue_tokens: that may wait for one model, prompts and answers at their longest together.
        most_wait: that an answer may be expected to wait for others, by how quickly its model
            computes lately, or as long as four usual prompts are read, where that is longer;
            beyond it another server, or a later time, is the better one.
        sequences: that one model computes together.
        queue_seconds: that an ask waits for its model to come into memory.
        answer_seconds: until an answer is whole, with its time in the queue.
        stream_seconds: that a reader may leave what is written for it.
        drain_seconds: for asks on their way when the server is told to end.
        keep_alive: that a model stays in memory after its last answer.
        silent_seconds: without a sign of life of a worker, which then hangs: it is looked at eight
            times as often, so that its asks hear of it within five seconds.
    """

    body: int = 32 * MIB
    header: int = 64 * 1024
    header_seconds: float = 10
    body_seconds: float = 60
    connections: int = 512
    requests: int = 256
    queue_requests: int = 64
    queue_tokens: int = 2**18
    most_wait: float = 2.5
    sequences: int = 16
    queue_seconds: float = 60
    answer_seconds: float = 600
    stream_seconds: float = 60
    drain_seconds: float = 30
    keep_alive: float = 300
    silent_seconds: float = 4


USUAL = Limits()
