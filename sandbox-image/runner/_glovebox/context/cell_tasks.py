"""Lets a cell without `await` make tasks, as one in a notebook can: a later cell awaits them, in the same event loop."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


def allow(loop_of_cells: Callable[[], Any], asyncio: Any) -> None:
    """A patch of `asyncio`: makes tasks in the loop of the cells where none runs; it runs while a cell awaits something."""
    events: Any = asyncio.events
    tasks: Any = asyncio.tasks
    create, get = tasks.create_task, events.get_event_loop

    def is_outside() -> bool:
        return events._get_running_loop() is None and threading.current_thread() is threading.main_thread()

    # A thread may have imported it, whose loop is another one.
    settled = is_outside()
    if settled:
        _make_no_loop(asyncio)

    @wraps(create)
    def create_task(coro: Any, **options: Any) -> Any:
        return loop_of_cells().create_task(coro, **options) if is_outside() else create(coro, **options)

    @wraps(get)
    def get_event_loop() -> Any:
        nonlocal settled
        if not settled and is_outside():
            settled = True
            _make_no_loop(asyncio)
        try:
            return get()
        except RuntimeError:
            if not is_outside():
                raise
            return loop_of_cells()

    for module in (asyncio, events):
        setattr(module, "get_event_loop", get_event_loop)
    for module in (asyncio, tasks):
        setattr(module, "create_task", create_task)


def _make_no_loop(asyncio: Any) -> None:
    """Unless the code has set a loop: older versions make one when the main thread asks for its own."""
    local = getattr(getattr(asyncio.events, "_event_loop_policy", None), "_local", None)
    if not getattr(local, "_set_called", False):
        asyncio.set_event_loop(None)
