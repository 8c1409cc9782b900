"""What an engine is doing, and the counts that it keeps of what it did."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic

LATELY = 10.0  # seconds that rates look back over
USUAL_ANSWER = 128  # tokens of an answer, before some were counted
SOONEST, LATEST = 1.0, 120.0  # seconds after which one is told to try again


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine is doing, and what it did since it was made.

    Attributes:
        waiting: requests in the queue, those put back for want of pages among them.
        running: requests with state in memory.
        waiting_tokens: tokens of those that wait, their answers at the longest included.
        pages_free: pages that hold nothing of a running request; those known from before count.
        pages_total: all pages.
        reused_tokens: prompt tokens that were known from before and not computed again.
        preemptions: how often a running request was put back for want of pages.
        finished: answers that came to their end.
        failed: answers that an error ended.
        cancelled: answers that were given up, by whoever asked or by their deadline.
        steps: calls of the model.
        step_seconds: how long the step at hand has run; 0 between steps.
        step_longest: how long it may at the most, by what such steps take; beyond it hangs.
        tokens_per_second: tokens written lately, of all requests together.
        overhead: the share of the worker's busy time that was spent outside of the model.
        wait: seconds that a request that came now would wait for others, as steps go lately.
    """

    waiting: int
    running: int
    waiting_tokens: int
    pages_free: int
    pages_total: int
    reused_tokens: int
    preemptions: int
    finished: int
    failed: int
    cancelled: int
    steps: int
    step_seconds: float
    step_longest: float
    tokens_per_second: float
    overhead: float
    wait: float


class Tally:
    """Counts of what was done. Written by the worker, read by anybody."""

    def __init__(self) -> None:
        self.reused = 0
        self.preemptions = 0
        self.finished = 0
        self.failed = 0
        self.cancelled = 0
        self.steps = 0
        self.inside = 0.0  # seconds in the model
        self.outside = 0.0  # and beside it, while there was something to do
        self._began: float | None = None
        self._written: deque[tuple[float, int]] = deque()
        self._left: deque[float] = deque()
        self._prompts: deque[int] = deque(maxlen=64)
        self._answers: deque[int] = deque([USUAL_ANSWER] * 4, maxlen=64)

    def begin(self) -> None:
        """Note that a step begins."""
        self._began = monotonic()

    def end(self, chosen: int) -> None:
        """Note that it ended, and for how many sequences a token is chosen now."""
        now = monotonic()
        self.inside += now - (now if self._began is None else self._began)
        self._began = None
        self.steps += 1
        self._written.append((now, chosen))
        while self._written[0][0] < now - LATELY:
            self._written.popleft()

    def finish(self, written: int) -> None:
        """Note that an answer of so many tokens came to its end."""
        self.finished += 1
        self._answers.append(written)

    @property
    def usual_answer(self) -> float:
        """Tokens of an answer, as far as they were counted lately."""
        answers = tuple(self._answers)
        return sum(answers) / len(answers)

    def read(self, prompt: int) -> None:
        """Note that so many tokens of a prompt were read, up to an answer's first token."""
        self._prompts.append(prompt)

    @property
    def usual_prompt(self) -> float:
        """Tokens that were read for an answer lately, 0 before any were."""
        prompts = tuple(self._prompts)
        return sum(prompts) / len(prompts) if prompts else 0.0

    def left(self) -> None:
        """Note that a request left, so that another can come in."""
        now = monotonic()
        self._left.append(now)
        while self._left[0] < now - LATELY:
            self._left.popleft()

    @property
    def tokens_per_second(self) -> float:
        """Tokens chosen lately."""
        now = monotonic()
        lately = [(at, tokens) for at, tokens in tuple(self._written) if at > now - LATELY]
        seconds = now - lately[0][0] if lately else 0.0
        return sum(tokens for _, tokens in lately) / seconds if seconds else 0.0

    @property
    def overhead(self) -> float:
        """The share of busy time outside of the model."""
        busy = self.inside + self.outside
        return self.outside / busy if busy else 0.0

    def retry_after(self, waiting: int) -> float:
        """Return seconds after which those that wait now are likely to have come in."""
        now = monotonic()
        lately = [at for at in tuple(self._left) if at > now - LATELY]
        if not lately:
            return LATELY
        each = (now - lately[0]) / len(lately)
        return min(LATEST, max(SOONEST, waiting * each))
