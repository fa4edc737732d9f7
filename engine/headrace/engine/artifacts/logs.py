"""Log files: one per attempt, appended to by a thread of its own, read and followed by any process.

A file begins with a JSON object that names the attempt; each line after it is `[at, stream, text]`. JSON keeps what a
task wrote as it was (colours, control characters) and keeps it on its line.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from headrace.engine.ports.artifacts import LogEnd
from headrace.engine.ports.messages import Log

LARGEST_LOG = 64 * 1024 * 1024
"""Bytes kept of one attempt's log."""

MOST_QUEUED = 16 * 1024 * 1024
"""Characters waiting for the disk; who writes more waits with them."""

LONGEST_WAIT = 5.0
OPEN_FILES = 128
LOOK_APART, LOOK_ELSEWHERE = 0.1, 1.0
"""Seconds between two looks of a follower, and between looks for what other processes wrote."""

CHUNK = 4 * 1024 * 1024
LONGEST_NAME = 150

_encode = msgspec.json.Encoder().encode
_Line = tuple[float, str, str]
_decode_line = msgspec.json.Decoder(_Line).decode


class AttemptName(NamedTuple):
    run_id: str
    task_id: str
    map: int
    generation: int
    attempt: int


_decode_name = msgspec.json.Decoder(AttemptName).decode


class FileLogs:
    """Implements ports.artifacts.Logs in a folder: `<run>/<task>/<map>.<generation>.<attempt>.jsonl`.

    `write` hands over to a thread; `flush` waits for it. Close it when done.
    """

    def __init__(self, folder: str | Path, *, largest_log: int = LARGEST_LOG) -> None:
        self._folder = Path(folder)
        self._largest = largest_log
        self._queue: deque[Sequence[Log]] = deque()
        self._queued = 0  # characters
        self._taken = 0  # writes the thread has finished, to wait for
        self._given = 0
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closing = False
        self._files: OrderedDict[AttemptName, _OpenLog] = OrderedDict()
        self._followers: set[_Follower] = set()

    # writing -----------------------------------------------------------------------------------------------------
    def write(self, lines: Sequence[Log]) -> None:
        """Append lines; safe from any thread. Waits only when the disk cannot keep up, and then for 5 s at most."""
        if not lines:
            return
        with self._changed:
            if self._queued > MOST_QUEUED:
                self._changed.wait_for(lambda: self._queued <= MOST_QUEUED, LONGEST_WAIT)
            self._queue.append(lines)
            self._queued += sum([len(line.text) for line in lines])
            self._given += 1
            if self._thread is None:
                self._closing = False
                self._thread = Thread(target=self._main, name="headrace-logs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until what has been written so far is in the files."""
        with self._changed:
            given = self._given
            self._changed.wait_for(lambda: self._taken >= given or self._thread is None)

    def close(self) -> None:
        """Write what waits and end the thread. A later `write` opens it again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def remove(self, run_id: str) -> None:
        """Delete a run's logs."""
        shutil.rmtree(self._folder / _name(run_id), ignore_errors=True)

    def _main(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                taken = list(self._queue)
                self._queue.clear()
                if not taken:
                    self._thread = None
                    for file in self._files.values():
                        file.close()
                    self._files.clear()
                    self._changed.notify_all()
                    return
            try:
                self._append(taken)
            finally:
                with self._changed:
                    self._queued -= sum([len(line.text) for lines in taken for line in lines])
                    self._taken += len(taken)
                    self._changed.notify_all()

    def _append(self, taken: list[Sequence[Log]]) -> None:
        by_attempt: dict[AttemptName, list[Log]] = {}
        for lines in taken:
            for line in lines:
                name = AttemptName(line.run_id, line.task_id, line.map, line.generation, line.attempt)
                by_attempt.setdefault(name, []).append(line)
        for name, lines in by_attempt.items():
            # a full disk, or a name that cannot be written, costs these lines, never the task or others' lines
            with suppress(OSError, ValueError):
                self._opened(name).append(lines)
        for follower in list(self._followers):
            follower.tell(by_attempt)

    def _opened(self, name: AttemptName) -> _OpenLog:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _OpenLog(self._path(name), name, self._largest)
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        else:
            self._files.move_to_end(name)
        return file

    # reading -----------------------------------------------------------------------------------------------------
    async def read(
        self,
        run_id: str,
        task_id: str,
        map: int,
        generation: int,
        attempt: int,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Log]:
        name = AttemptName(run_id, task_id, map, generation, attempt)
        return await asyncio.to_thread(self._read, name, after, limit)

    def _read(self, name: AttemptName, after: int, limit: int | None) -> list[Log]:
        self.flush()
        tail = _Tail(self._path(name), self._folder)
        lines: list[Log] = []
        while new := tail.more():
            lines += new[after:]
            after = max(after - len(new), 0)
            if limit is not None and len(lines) >= limit:
                break
        return lines[:limit]

    async def last(
        self, run_id: str, task_id: str, map: int, generation: int, attempt: int, most: int
    ) -> LogEnd:
        return await asyncio.to_thread(
            self._last, AttemptName(run_id, task_id, map, generation, attempt), most
        )

    def _last(self, name: AttemptName, most: int) -> LogEnd:
        self.flush()
        tail = _Tail(self._path(name), self._folder)
        count, lines = 0, deque[Log](maxlen=most)
        while new := tail.more():
            count += len(new)
            lines += new
        return LogEnd(count - len(lines), list(lines))

    async def follow(self, run_id: str, looked: Callable[[], None] | None = None) -> AsyncIterator[Log]:
        """Of files of other processes `looked` speaks about once a second."""
        follower = _Follower(run_id)
        self._followers.add(follower)
        tails: dict[Path, _Tail] = {}
        folder = self._folder / _name(run_id)
        scanned_at = float("-inf")
        try:
            while True:
                follower.event.clear()
                paths = {self._path(name) for name in follower.take()}
                everywhere = monotonic() - scanned_at >= LOOK_ELSEWHERE
                if everywhere:
                    paths |= set(await asyncio.to_thread(_log_files, folder))
                    scanned_at = monotonic()
                for path in paths:
                    tails.setdefault(path, _Tail(path, self._folder))
                behind = [tails[path] for path in paths]
                while behind:
                    lines, behind = await asyncio.to_thread(_more, behind)
                    for line in lines:
                        yield line
                if everywhere and looked is not None:
                    looked()
                await asyncio.sleep(LOOK_APART)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_ELSEWHERE):
                        await follower.event.wait()
        finally:
            self._followers.discard(follower)

    def _path(self, name: AttemptName) -> Path:
        file = f"{int(name.map)}.{int(name.generation)}.{int(name.attempt)}.jsonl"
        return self._folder / _name(name.run_id) / _name(name.task_id) / file


class _OpenLog:
    """A log file being appended to."""

    def __init__(self, path: Path, name: AttemptName, largest: int) -> None:
        header = _encode(name) + b"\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640
        )
        self._left = largest - os.fstat(self._handle).st_size
        if self._left == largest:
            os.write(self._handle, header)

    def append(self, lines: list[Log]) -> None:
        if self._left <= 0:
            return
        data = b"".join([_line(line) for line in lines])
        self._left -= len(data)
        if self._left <= 0:
            last = lines[-1]
            cut = data.rfind(b"\n", 0, max(self._left + len(data), 0)) + 1
            data = (
                data[:cut] + _encode((last.at, "log", "The log is cut here: it has become too long.")) + b"\n"
            )
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def close(self) -> None:
        os.close(self._handle)


class _Tail:
    """Reads a log file on from where it stopped. Whatever is no plain file below the folder reads as nothing."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._offset = 0
        self._name: AttemptName | None = None

    def more(self) -> list[Log]:
        """The whole lines of the next piece of the file; [] at its end."""
        data = self._piece()
        end = data.rfind(b"\n") + 1
        self._offset += end
        lines: list[Log] = []
        for line in data[:end].splitlines():
            with suppress(msgspec.MsgspecError):  # a line cut by a full disk
                if self._name is None:
                    self._name = _decode_name(line)
                else:
                    at, stream, text = _decode_line(line)
                    run_id, task_id, map, generation, attempt = self._name
                    lines.append(Log(run_id, task_id, map, generation, attempt, at, stream, text))
        return lines

    def _piece(self) -> bytes:
        parent = self._path.parent
        try:
            if parent.is_symlink() or parent.parent.is_symlink():
                return b""
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b""
            return os.pread(handle, CHUNK, self._offset)
        finally:
            os.close(handle)


class _Follower:
    """Somebody who wants to hear of a run's new lines, on their own event loop."""

    def __init__(self, run_id: str) -> None:
        self.event = asyncio.Event()
        self._run_id = run_id
        self._loop = asyncio.get_running_loop()
        self._changed: set[AttemptName] = set()

    def tell(self, names: Any) -> None:
        """Called by the writing thread."""
        mine = [name for name in names if name.run_id == self._run_id]
        if mine:
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._hear, mine)

    def take(self) -> set[AttemptName]:
        taken, self._changed = self._changed, set()
        return taken

    def _hear(self, names: list[AttemptName]) -> None:
        self._changed.update(names)
        self.event.set()


def _more(tails: list[_Tail]) -> tuple[list[Log], list[_Tail]]:
    """The next lines of each, in order of time, and those that may have more; of very much only a part."""
    lines: list[Log] = []
    behind: list[_Tail] = []
    size = 0
    for at, tail in enumerate(tails):
        if size > CHUNK:
            behind += tails[at:]
            break
        new = tail.more()
        if new:
            behind.append(tail)
            lines += new
            size += sum([len(line.text) for line in new])
    lines.sort(key=lambda line: line.at)
    return lines, behind


def _log_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError):
        for task in os.scandir(folder):
            if task.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    found += [
                        Path(entry.path)
                        for entry in os.scandir(task.path)
                        if entry.is_file(follow_symlinks=False)
                    ]
    return found


def _line(line: Log) -> bytes:
    try:
        return _encode((line.at, line.stream, line.text)) + b"\n"
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
        text = line.text.encode(errors="backslashreplace").decode()
        return _encode((line.at, line.stream, text)) + b"\n"


def _name(text: str) -> str:
    """A folder name for any text: one path part, never hidden, never `..`, different for different texts."""
    name = quote(text, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E") or "%"
    if len(name) > LONGEST_NAME:
        digest = sha256(text.encode(errors="surrogatepass")).hexdigest()
        name = f"{name[:80]}~{digest[:32]}"
    return name
