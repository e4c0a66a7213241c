"""Console of all launchers: lines, errors without tracebacks, signals."""

import os
import signal
import sys

# Whoever ends a launcher, or a study, while it starts gets one line, too. First of all, as the rest
# of the imports takes a while.
if os.path.basename(os.path.dirname(getattr(sys.modules["__main__"], "__file__", ""))) in (
    *("launch", "studies", "tf_febm_launch"),
):
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            _number, lambda *_: (os.write(1, b"Interrupted; nothing is lost.\n"), os._exit(3))
        )

import contextlib
import gc
import importlib.util
import re
import types
import warnings
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

# The exit codes of a run: done, failed with a message, ended early and resumable.
DONE, FAILED, STOPPED = 0, 1, 3
INTERRUPTED = "Interrupted; nothing is lost."


def log(line: str) -> None:
    """Print a line at once, whatever the output is connected to; see `clock.Silence.note`."""
    if SILENCE is not None:
        SILENCE.note(line)
    if not clock.Silence.is_aside(line):
        _print(line)


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # The reader has gone, as in `… | head`; the work goes on, unheard.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# Title -> flag -> what is shown for want of a default: what --help shows, in its order.
GROUPS: dict[str, dict[str, str]] = {}


def definers(
    values: flags.FlagValues, group: str = "Flags", unset: str = ""
) -> types.SimpleNamespace:
    """Return what registers flags of each kind: (name, default, help text, limits or choices).

    Args:
        values: Where they are registered.
        group: Title over them in --help.
        unset: What --help says of one without a default.
    """
    shown = GROUPS.setdefault(group, {})

    def registering(define):
        def register(name, *settings, **others) -> None:
            shown[name] = unset
            define(name, *settings, flag_values=values, **others)

        return register

    kinds = {"text": flags.DEFINE_string, "texts": flags.DEFINE_multi_string}
    kinds |= {"whole": flags.DEFINE_integer, "real": flags.DEFINE_float}
    kinds |= {"switch": flags.DEFINE_bool, "choice": flags.DEFINE_enum}
    kinds |= {"alias": flags.DEFINE_alias, "names": names.define_names}
    return types.SimpleNamespace(**{k: registering(define) for k, define in kinds.items()})


def import_quietly(intra_op_threads: int | None = None, start_devices: bool = True) -> None:
    """Import TensorFlow without the lines that it writes to standard error while it starts.

    Args:
        intra_op_threads: Threads of one operation; as many as there are cores if None. One is best
            where operations are so small that sharing them out takes longer than they do.
        start_devices: See `silence.start_tensorflow`.
    """
    if intra_op_threads is not None:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(intra_op_threads))
    logging.set_verbosity(logging.WARNING)
    silence.start_tensorflow(start_devices)
    import tf_febm  # noqa: F401  (imported for its effect)

    if SILENCE is not None:
        SILENCE.doing = "at work"
    # The modules of TensorFlow are a million objects, which live as long as the process does:
    # walking through them takes the collector a quarter of a second, when it chooses.
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def without_tensorflow():
    """Let the modules of tf_febm that need no TensorFlow be imported before it, in a `with` block.

    TensorFlow takes seconds, and `import tf_febm` brings it; what flags are made of needs neither.
    """
    names = ("tf_febm", "tf_febm.data", "tf_febm.recipes")
    if "tf_febm" in sys.modules:
        yield
        return
    place = Path(importlib.util.find_spec("tf_febm").submodule_search_locations[0])
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = [str(place.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    try:
        yield
    finally:
        # The packages themselves are still to be imported; their modules that were, stay.
        for name in names:
            del sys.modules[name]


with without_tensorflow():
    from tf_febm.terminal import clock, help_page, names, signals, silence, stopping, words

# In a process of a launcher: what says every few seconds what is going on.
SILENCE: clock.Silence | None = None


def make_strategy(name: str, num_replicas: int | None, wait_seconds: float):
    """Return `parallel.make_strategy`, without the lines of devices that start."""
    from tf_febm import parallel

    if name == "multi_worker":
        log("Waiting for all workers …")
    try:
        with silence.silenced():
            return parallel.make_strategy(name, num_replicas, wait_seconds=wait_seconds)
    except TimeoutError as error:
        raise OSError(with_flags(str(error), "wait_seconds")) from None
    except RuntimeError as error:
        raise OSError(f"The {name} strategy cannot start: {str(error).splitlines()[0]}") from None


def exit_code(function: Callable[[], int], *, debug: bool, interrupted: str = INTERRUPTED) -> int:
    """Run a function; turn an error into one line and a non-zero exit code.

    Args:
        function: Returns the exit code.
        debug: Whether to let errors through with their traceback.
        interrupted: What to say if the user ends it.
    """
    warnings.showwarning = lambda message, *_, **__: log(f"warning: {message}")
    try:
        return function()
    except KeyboardInterrupt:
        log(interrupted)
        return STOPPED
    except Exception as error:
        if words.is_interrupt(error):
            log(interrupted)
            return STOPPED
        if debug:
            raise
        print(words.error_line(error, "--debug shows the whole of it"), file=sys.stderr, flush=True)
        return FAILED
    finally:
        signals.stop_listening()  # What is to be done is done.


@contextlib.contextmanager
def advising(advice: str, about: tuple[str, ...]):
    """Add to errors of the library, about some things, what can be done with flags."""
    try:
        yield
    except (OSError, ValueError) as error:
        if not any(words in str(error) for words in about):
            raise
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{error} {advice}") from error


def with_flags(text: str, *names: str) -> str:
    """Return a text of the library about arguments as one about the flags of these names."""
    return re.sub(rf"\b({'|'.join(names)})=", r"--\1=", text)


@contextlib.contextmanager
def naming_flags(*names: str):
    """Say errors of the library about arguments in terms of the flags of these names."""
    try:
        yield
    except ValueError as error:
        raise ValueError(with_flags(str(error), *names)) from error


def stop_on_signals(
    stop, ending: str = "finishing this step", left: Callable[[int], str] = words.stopped
) -> None:
    """Let signals end training gently; see `terminal.stopping.end_gently`."""
    stopping.end_gently(stop, log, STOPPED, f"{ending} and saving a checkpoint", left)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM: everything is saved, and the exit code shall say so."""
    signals.stop_listening(signal.SIG_IGN)


def stop_at_once_on_signals(interrupted: str = INTERRUPTED) -> None:
    """Let signals interrupt what follows; see `terminal.stopping.end_at_once`."""
    stopping.end_at_once(log, STOPPED, interrupted)


def main(
    run: Callable[[flags.FlagValues], int],
    define: Callable[..., None],
    interrupted: str = INTERRUPTED,
) -> None:
    """Parse the command line and run a launcher; the process ends with its exit code.

    A signal ends it at once, as nothing is lost by it, until the launcher says otherwise.

    Args:
        run: Parsed flags -> exit code.
        define: Registers the flags, with absl's own unless it is given others.
        interrupted: What to say after Ctrl-C.
    """
    define()
    if {"-h", "--help", "-help", "--helpshort", "--helpfull"} & set(sys.argv[1:]):
        log(help_page.help_page(sys.modules[run.__module__].__doc__, flags.FLAGS, GROUPS))
        sys.exit(DONE)

    def start(argv: list[str]) -> int:
        global SILENCE
        SILENCE = clock.Silence(_print, "starting TensorFlow", clock.LONGEST + 0.7)
        SILENCE.begin()
        stop_at_once_on_signals(interrupted)
        values = flags.FLAGS

        def work() -> int:
            try:
                return run(values)
            except KeyboardInterrupt:
                log(interrupted)
                # At once: Python ends itself by the signal if that came in some extension's import.
                os._exit(STOPPED)

        code = exit_code(work, debug=values.debug, interrupted=interrupted)
        ignore_signals()
        return code

    def parse(argv: list[str]) -> list[str]:
        try:
            left = flags.FLAGS(argv)
            if len(left) > 1:
                raise flags.Error(f"Unknown argument {left[1]!r}; every option starts with --.")
            return left
        except flags.Error as error:
            text = names.advice(error, flags.FLAGS)
            print(f"error: {text} (--help tells all flags)", file=sys.stderr, flush=True)
            sys.exit(FAILED)

    app.run(start, flags_parser=parse)
