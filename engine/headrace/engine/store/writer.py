"""The one thread that writes to a SQLite file, and its connection.

Whatever waits when the thread becomes free is written in one transaction (a savepoint each), so many callers share one
flush to the disk. A caller's future is resolved after the commit, never before.

A change of thread and back costs as much as a small commit on a fast disk. So a caller may say that its job is small: when nobody
else is writing, and commits have lately taken less than a millisecond, it is done at once, on the caller's own thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store.lane import Lane

T = TypeVar("T")
TOGETHER = 256  # jobs in one transaction
QUICK = 0.001
"""Seconds. Where a transaction takes longer than that on average, the event loop never waits for the disk."""


@dataclass(slots=True)
class Job(Generic[T]):
    """What to do with the connection, within a transaction, and who waits for it. It may be done a second time, after a rollback."""

    do: Callable[[Lane], T]
    future: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop
    writes: bool = True
    small: bool = False
    result: T | None = None
    error: BaseException | None = None


class Writer:
    """Does jobs one after the other on a thread of its own. `before` looks at the file before each transaction; `quick`: see QUICK."""

    def __init__(
        self,
        connect: Callable[[], Lane],
        before: Callable[[], None],
        explain: Callable[[sqlite3.Error], Exception],
        quick: float = QUICK,
    ) -> None:
        self._connect = connect
        self._before = before
        self._explain = explain
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._closed = False
        self._lane: Lane | None = None
        self._hold = threading.Lock()  # whoever has it uses the connection
        self._quick = quick
        self._pace = quick / 2  # seconds a transaction takes, by experience
        self._thread = threading.Thread(target=self._work, name="headrace-store", daemon=True)
        self._ready: SimpleQueue[Exception | None] = SimpleQueue()

    def start(self) -> None:
        """Open the connection. Raises what `connect` raises. Blocks; to be called on a thread that may."""
        self._thread.start()
        error = self._ready.get()
        if error is not None:
            self._closed = True
            raise error

    async def do(self, job: Callable[[Lane], T], *, writes: bool = True, small: bool = False) -> T:
        """What `job` returns, once it is safely on the disk. Raises what it raised, or StoreUnavailable.

        With `writes` false it only looks at something through the writer's connection. A `small` one may be done at once.
        """
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        if small and self._pace < self._quick and self._jobs.empty() and self._hold.acquire(blocking=False):
            try:
                lane = self._begun_at_once()
                if lane is not None:
                    return self._at_once(lane, job)
            finally:
                self._hold.release()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(Job(job, future, loop, writes, small))
        return await future

    def glance(self, look: Callable[[Lane], T]) -> T | None:
        """What `look`, which reads little and never finds None, finds on the caller's own thread. None: somebody is writing, or the
        disk is slow, and another connection has to be asked."""
        if self._closed or self._pace >= self._quick or not self._hold.acquire(blocking=False):
            return None
        try:
            if self._lane is None:
                return None
            self._lane.be_impatient()
            return look(self._lane)
        except sqlite3.Error:
            return None
        finally:
            self._hold.release()

    def stop(self) -> None:
        """Finish what waits and close the connection. Blocks until then."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        try:
            lane = self._connect()
        except Exception as error:
            self._ready.put(error)
            return
        self._lane = lane
        self._ready.put(None)
        open_ = True
        while open_:
            first = self._jobs.get()
            if first is None:
                break
            jobs = [first]
            while len(jobs) < TOGETHER:
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
                if job is None:
                    open_ = False
                    break
                jobs.append(job)
            self._write(lane, jobs)
            del first, jobs
        with self._hold:
            self._lane = None
            lane.close()

    def _begun_at_once(self) -> Lane | None:
        """The connection, with a transaction begun. None: something stands in the way (another process writes, the file is not
        what it was), and to wait or to explain is the writer thread's business."""
        lane = self._lane
        if lane is not None:
            try:
                self._before()
                lane.begin_at_once()
            except Exception:
                return None
        return lane

    def _at_once(self, lane: Lane, job: Callable[[Lane], T]) -> T:
        """Do it on the caller's thread, in the transaction that was begun."""
        began = time.perf_counter()
        try:
            result = job(lane)
            lane.commit()
        except BaseException as error:
            lane.roll_back()
            raise self._explained(error) from None
        finally:
            self._took(time.perf_counter() - began)
        return result

    def _took(self, seconds: float) -> None:
        self._pace += (seconds - self._pace) / 8

    def _write(self, lane: Lane, jobs: list[Job[Any]]) -> None:
        """All in one transaction; when that cannot be, each in its own."""
        with self._hold:
            if len(jobs) > 1 and not self._together(lane, jobs):
                for job in jobs:
                    self._alone(lane, job)
            elif len(jobs) == 1:
                self._alone(lane, jobs[0])
        loops = {job.loop for job in jobs}
        for loop in loops:
            mine = [job for job in jobs if job.loop is loop]
            try:
                loop.call_soon_threadsafe(_resolve, mine)
            except RuntimeError:  # that loop was closed while its caller waited: nobody is left to tell
                continue

    def _alone(self, lane: Lane, job: Job[Any]) -> None:
        job.result = job.error = None
        began = time.perf_counter()
        try:
            self._before()
            if job.writes:
                with lane.transaction("BEGIN IMMEDIATE"):
                    job.result = job.do(lane)
            else:
                lane.be_patient()
                job.result = job.do(lane)
        except BaseException as error:
            job.error = self._explained(error)
        if job.small:
            self._took(time.perf_counter() - began)

    def _together(self, lane: Lane, jobs: list[Job[Any]]) -> bool:
        """False when the transaction as a whole failed: nothing was written."""
        try:
            self._before()
            with lane.transaction("BEGIN IMMEDIATE"):
                for job in jobs:
                    lane.raw.execute("SAVEPOINT job")
                    try:
                        job.result = job.do(lane)
                    except Exception as error:
                        if not lane.raw.in_transaction:  # a full disk ends the whole transaction
                            raise
                        lane.raw.execute("ROLLBACK TO job")
                        job.error = self._explained(error)
                    lane.raw.execute("RELEASE job")
        except Exception:
            return False
        return True

    def _explained(self, error: BaseException) -> BaseException:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
        if isinstance(cause, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)):
            return error  # of what was to be written, not of the file: another try would end the same
        return self._explain(cause) if isinstance(cause, sqlite3.Error) else error


def _resolve(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        if job.future.done():  # cancelled: the caller no longer waits
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
