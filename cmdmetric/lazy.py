"""Names that a package offers, looked up in its modules on first use."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package whose modules cost time to import.

    Args:
        package: The name of the package, its `__name__`.
        homes: By module of the package, the names that it defines, with blanks between them.

    A room offers its names this way because some of its modules import torch or scipy, and
    `cmd-score --help` must not wait for what it does not use.
    """
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def look_up(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(home_of)
    return look_up, lambda: names, names
