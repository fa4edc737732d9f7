"""Imports users' modules by folder, so that two folders may hold modules of the same name in one process.

Code in a folder finds its neighbours as a script would. When another folder's module of the same name is loaded, the
two take turns in `sys.modules`: each is there while its folder's modules are being imported. An import inside a
function of such a module, made later, sees whichever came last.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from threading import RLock
from time import monotonic
from types import ModuleType

_lock = RLock()
_active: Folder | None = None
_folders: dict[str, Folder] = {}
_recent: list[Folder] = []  # those that were put on sys.path, the active one first

RELOAD_EVERY = 0.5
"""Seconds between two looks at whether files have changed."""


class Folder:
    """One folder of user code and the modules that were loaded from it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.modules: dict[str, ModuleType] = {}
        self._stamps: dict[str, int] = {}
        self._looked_at = 0.0

    @staticmethod
    def at(path: str) -> Folder:
        """The one value per folder and process."""
        path = os.path.realpath(path)
        with _lock:
            return _folders.setdefault(path, Folder(path))

    def load(self, name: str) -> ModuleType:
        """Import `name`, from this folder if it is there, else from wherever Python finds it.

        Raises whatever importing raises; ModuleNotFoundError when there is no such module.
        """
        global _active
        with _lock:
            known = self.modules.get(name)
            if known is not None:
                return known
            importlib.invalidate_caches()
            if _active is not self:
                self._activate()
                _active = self
            set_aside = self._set_aside(name.partition(".")[0])
            before = set(sys.modules)
            try:
                module = importlib.import_module(name)
            finally:
                self._adopt(set(sys.modules) - before)
                sys.modules.update({key: value for key, value in set_aside.items() if key not in sys.modules})
            return module

    def holds(self, top: str) -> bool:
        """Whether a top-level module or package of that name lies here."""
        spec = PathFinder.find_spec(top, [self.path])
        return spec is not None and spec.origin is not None

    def changed(self) -> bool:
        """Whether a loaded file differs from when it was loaded; looked up at most twice a second."""
        now = monotonic()
        if now - self._looked_at < RELOAD_EVERY:
            return False
        self._looked_at = now
        return any(_stamp(file) != stamp for file, stamp in list(self._stamps.items()))

    def forget(self) -> None:
        """The next `load` reads the files again."""
        with _lock:
            for name, module in self.modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]
            self.modules.clear()
            self._stamps.clear()

    def _activate(self) -> None:
        for other in _folders.values():
            if other is not self:
                for name, module in other.modules.items():
                    if sys.modules.get(name) is module and self.holds(name.partition(".")[0]):
                        del sys.modules[name]
        sys.modules.update(self.modules)
        # the others stay findable, for imports inside their functions, but behind this one
        if self in _recent:
            _recent.remove(self)
        elif self.path in sys.path:
            return  # it is there for a reason of its own
        _recent.insert(0, self)
        ours = [folder.path for folder in _recent]
        sys.path[:] = [entry for entry in sys.path if entry not in ours]
        place = _place()
        sys.path[place:place] = ours

    def _set_aside(self, top: str) -> dict[str, ModuleType]:
        """Take an installed module of the same name out for the time of the import. The standard library stays."""
        loaded = sys.modules.get(top)
        if loaded is None or top in self.modules or top in sys.stdlib_module_names or not self.holds(top):
            return {}
        if self._owns(loaded):
            self._adopt({name for name in sys.modules if name == top or name.startswith(top + ".")})
            return {}
        names = [name for name in sys.modules if name == top or name.startswith(top + ".")]
        return {name: sys.modules.pop(name) for name in names}

    def _adopt(self, names: set[str]) -> None:
        for name in names:
            module = sys.modules.get(name)
            if module is not None and self._owns(module):
                self.modules[name] = module
                file = module.__file__
                if file is not None:
                    self._stamps[file] = _stamp(file)

    def _owns(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if file is None:
            return any(
                os.path.realpath(place).startswith(self.path + os.sep)
                for place in getattr(module, "__path__", ())
            )
        real = os.path.realpath(file)
        return real.startswith(self.path + os.sep) and "site-packages" not in real[len(self.path) :]


def _place() -> int:
    """Before what is installed, behind the standard library: a user's `email.py` must not break later imports."""
    for index, entry in enumerate(sys.path):
        if "site-packages" in entry or "dist-packages" in entry:
            return index
    return len(sys.path)


def _stamp(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
