"""Pool: the jobs of a sweep over processes of this machine, each of which gets its next piece of work when it has done the last.

Rule: the rows are those of the jobs, whoever did them and how often: a process that is lost is replaced, and its jobs are done again.
"""

import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait
from typing import Final, Protocol

from daemon.parts import StartRefused
from daemon.research.sweep.jobs import Job, Row, Task, failed
from daemon.research.sweep.worker import Lost, Worker

# A piece of work of so many seconds costs nothing to hand out, and little when it is lost.
PIECE_S: Final = 1.0
JOBS_MAX: Final = 64
# What is left is cut into so many pieces for each worker, so that all of them end at about the same time.
PIECES_LEFT: Final = 4
ATTEMPTS: Final = 3
LOST: Final = f"the process that ran it was lost {ATTEMPTS} times; there may be too little memory for it"


class Crew(Protocol):
    """Whoever does the jobs of a sweep; `lost` counts the workers that went away over them."""

    lost: int

    def rows(self, task: Task, jobs: Sequence[Job]) -> Generator[Sequence[Row], None, None]:
        """The rows of all jobs, some at once, in the order in which they are done."""
        ...


class Queue:
    """Jobs that wait, in pieces of about a second's work."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._todo = deque(jobs)
        self._lost: Counter[int] = Counter()
        self._took_s = 0.0
        self._done = 0

    def __len__(self) -> int:
        return len(self._todo)

    def take(self, workers: int) -> list[Job]:
        """The next piece for one of so many workers; empty: there is none."""
        if not self._todo:
            return []
        first = self._todo.popleft()
        if self._lost[first.run]:
            return [first]  # by itself, so that it is known whether it was this one
        piece = [first]
        while len(piece) < self._size(workers) and self._todo and not self._lost[self._todo[0].run]:
            piece.append(self._todo.popleft())
        return piece

    def _size(self, workers: int) -> int:
        mean_s = self._took_s / self._done if self._done else PIECE_S
        return max(1, min(int(PIECE_S / max(mean_s, PIECE_S / JOBS_MAX)), len(self._todo) // (PIECES_LEFT * workers)))

    def learn(self, jobs: int, took_s: float) -> None:
        """How long so many jobs have taken one worker."""
        self._took_s, self._done = self._took_s + took_s, self._done + jobs

    def put_back(self, jobs: Sequence[Job], why: str = LOST) -> list[Row]:
        """Have jobs done again whose worker was lost; the rows of those that have lost too many, which say why."""
        given_up = []
        for job in reversed(jobs):
            self._lost[job.run] += 1
            if self._lost[job.run] < ATTEMPTS:
                self._todo.appendleft(job)
            else:
                given_up.append(
                    failed(job.run, f"the process that ran it was lost {ATTEMPTS} times; there may be too little memory for it")
                )
        return given_up


class Local:
    """Processes of this machine."""

    def __init__(self, processes: int) -> None:
        self.lost = 0
        self._processes = processes
        self._stillborn = 0  # lost in a row before they had anything to do
        self._held: dict[Worker, tuple[list[Job], float]] = {}  # what each is doing, and since when

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return [worker.pid for worker in self._held]

    def rows(self, task: Task, jobs: Sequence[Job]) -> Generator[Sequence[Row], None, None]:
        """The rows of all jobs.

        Raises:
            DataError: the panel cannot be opened.
            StartRefused: processes end as soon as they begin.
        """
        queue = Queue(jobs)
        try:
            for _ in range(min(self._processes, len(jobs))):
                self._held[Worker(task)] = ([], 0.0)
            while self._held:
                for worker in self._ready():
                    yield self._heard(worker, task, queue)
        finally:
            for worker in list(self._held):
                self._dismiss(worker)

    def _ready(self) -> list[Worker]:
        """Those that have answered, or have ended."""
        ready = wait([worker.connection for worker in self._held])
        return [worker for worker in self._held if worker.connection in ready]

    def _heard(self, worker: Worker, task: Task, queue: Queue) -> Sequence[Row]:
        """Take an answer, and hand out the next piece."""
        jobs, since = self._held[worker]
        try:
            rows = worker.answer()
        except Lost:
            self._dismiss(worker)
            self._count(jobs)
            rows = queue.put_back(jobs)
            self._held[Worker(task)] = ([], 0.0)
            return rows
        if jobs:
            queue.learn(len(jobs), time.monotonic() - since)
        self._next(worker, queue)
        return rows

    def _count(self, jobs: Sequence[Job]) -> None:
        self.lost += 1
        self._stillborn = 0 if jobs else self._stillborn + 1
        if self._stillborn == ATTEMPTS:
            raise StartRefused("the processes of the sweep end as soon as they begin; see what they said above", 1)

    def _next(self, worker: Worker, queue: Queue) -> None:
        piece = queue.take(self._processes)
        if not piece:
            self._dismiss(worker)
            return
        self._held[worker] = piece, time.monotonic()
        worker.give(piece)

    def _dismiss(self, worker: Worker) -> None:
        del self._held[worker]
        worker.end()
