"""Import what a user names as ``module:name`` or ``file.py:name``, and name what a user gives."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast.errors import HoldfastError, unknown_name


def imported(spec: str, what: str) -> Any:
    """What ``module:name`` or ``file.py:name`` names.

    Raises:
        HoldfastError: the module cannot be imported, or has nothing of that name (with the nearest ones).
    """
    where, _, name = spec.rpartition(":")
    try:
        module = _import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except HoldfastError:
        raise
    except Exception as error:
        missing = isinstance(error, ImportError)
        remedy = "Check the path, and that its dependencies are installed." if missing else "Mend the file."
        if (file := Path(f"{where.replace('.', '/')}.py")).is_file() and not where.endswith(".py"):
            remedy = f"{file} is a file: give {file}:{name}."
        reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
        raise HoldfastError(f"{what} {spec!r}: importing {where} failed with {reason}. {remedy}") from error
    if not callable(getattr(module, name, None)):
        public = {n: v for n, v in vars(module).items() if callable(v) and not n.startswith("_")}
        own = [n for n, v in public.items() if getattr(v, "__module__", None) == module.__name__]
        raise unknown_name(f"{what} in {where}", name, own or public)
    return getattr(module, name)


_files: dict[Path, Any] = {}


def _import_file(path: Path) -> Any:
    path = path.expanduser()
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give file.py:name with a path from here.")
    key = path.resolve()
    if key in _files:
        return _files[key]
    taken = path.stem in sys.modules  # dataclasses look their module up by its name, so that each needs its own
    name = f"{path.stem}_{hashlib.sha256(str(key).encode()).hexdigest()[:8]}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:  # leave no half-made module behind
        del sys.modules[name]
        raise
    _files[key] = module
    return module


def file_of(module: str) -> Path | None:
    """The file that a module was imported from by its path, or None."""
    return next((path for path, found in _files.items() if found.__name__ == module), None)


def spec_of_callable(found: Any) -> str:
    """``module:name`` of a function or class that is found again by it; else what it is called, as ``<name>``.

    >>> import json
    >>> spec_of_callable(json.dumps), spec_of_callable(lambda x: x), spec_of_callable("abc".upper)
    ('json:dumps', '<lambda>', '<str.upper>')
    """
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", "")
    if module and module != "__main__" and getattr(sys.modules.get(module), name, None) is found:
        return f"{file_of(module) or module}:{name}"
    return f"<{called(found).strip('<>')}>"


def called(found: Any) -> str:
    """What people call a callable: the name of a function or class, ``Class.method``, the class of another object.

    >>> import json
    >>> called(json.dumps), called(partial(json.dumps)), called(json.JSONEncoder().encode)
    ('dumps', 'dumps', 'JSONEncoder.encode')
    """
    if isinstance(found, partial):
        return called(found.func)
    name, owner = getattr(found, "__name__", None), getattr(found, "__self__", None)
    if name is None:
        return type(found).__name__
    bound = owner is not None and not inspect.ismodule(owner) and not isinstance(owner, type)
    return f"{type(owner).__name__}.{name}" if bound else name


def nameless(spec: str) -> bool:
    """Whether `spec_of_callable` found no name under which something could be made again."""
    return spec.startswith("<") and spec.endswith(">")


def callable_room(name: str, function: Callable[..., Any]) -> None:
    """Make a package of ours callable as the function that bears its name: ``hf.evaluate(...)``.

    Once a package is imported it is an attribute of the package above, in the place of the function.
    """

    class Room(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    sys.modules[name].__class__ = Room
