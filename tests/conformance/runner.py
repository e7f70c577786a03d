"""Runs cases against a server, several at a time; those that disturb others run alone, last."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from . import cases as _cases  # noqa: F401 (registers them)
from .case import CASES, Case, NotApplicable, NotOffered, Result, Verdict
from .server import Server
from .world import Shared, World

AT_A_TIME = 8


def selected(words: Iterable[str] = ()) -> list[Case]:
    """All cases in the order of the standards, or those whose name or RFC has one of the words in it."""
    words = list(words)
    found = [case for case in CASES if not words or any(word in case.name or word == str(case.rfc) for word in words)]
    return sorted(found, key=lambda case: case.order)


def run_case(case: Case, shared: Shared) -> Result:
    world = World(shared)
    begin = time.monotonic()
    try:
        case.run(world)
        verdict, detail = Verdict.PASS, ""
    except NotOffered as reason:
        verdict, detail = Verdict.NOT_OFFERED, str(reason)
    except NotApplicable as reason:
        verdict, detail = Verdict.NOT_APPLICABLE, str(reason)
    except AssertionError as error:
        verdict, detail = Verdict.FAIL, str(error)
    except Exception as error:  # a broken answer can break anything in the client: it is a failure all the same
        verdict, detail = Verdict.FAIL, f"{type(error).__name__}: {error}"
        world.trace.note(traceback.format_exc().strip().splitlines()[-3].strip())
    finally:
        world.close()
    return Result(case, verdict, detail, time.monotonic() - begin, world.trace.lines)


def run(server: Server, chosen: list[Case], *, enough: Callable[[Result], bool] = lambda _: False) -> list[Result]:
    """The results in the order of `chosen`; once `enough` says so of one, no further case is begun."""
    shared = Shared(server)
    results: dict[str, Result] = {}
    stopped = threading.Event()

    def attempt(case: Case) -> None:
        if stopped.is_set():
            return
        result = results[case.name] = run_case(case, shared)
        if enough(result):
            stopped.set()

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(attempt, [case for case in chosen if not case.alone]))
    for case in chosen:
        if case.alone:
            attempt(case)
    return [results[case.name] for case in chosen if case.name in results]
