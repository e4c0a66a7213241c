"""Processes of Python scripts that find TensorFlow imported: forks of one that did nothing else.

To import it takes a process longer than what most tests let one do. A fork has its own memory,
signals and exit code, and runs its script as `python script.py` would. Tests of what is about the
start of a process itself use `subprocess`.
"""

import atexit
import functools
import gc
import importlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

# Whatever a run imports late, but nothing that computes: threads do not outlive a fork.
PRELOADED = (
    *("numpy", "scipy.stats", "sklearn.metrics", "PIL.Image", "matplotlib.pyplot", "tensorflow"),
    *("keras", "tensorflow_probability", "tf_febm", "tf_febm.evaluation", "tf_febm.training"),
    "tf_febm.analysis",
)


class Process:
    """A script in a process of its own, with what tests use of `subprocess.Popen`.

    Args:
        command: The interpreter, a script, and its arguments.
        stdout: `subprocess.PIPE`, or a file.
        stderr: The same, or `subprocess.STDOUT`.
        text: Always so.
        cwd: Where it runs.
        env: All of its environment.
    """

    def __init__(self, command, *, stdout=None, stderr=None, text=True, cwd=None, env=None):
        files = {"stdout": stdout, "stderr": stdout if stderr == subprocess.STDOUT else stderr}
        pipes, places = {}, {}
        for name, file in files.items():
            if file == subprocess.PIPE:
                if name == "stdout" or stderr != subprocess.STDOUT:
                    pipes[name] = os.pipe()
                # An open file of this process has a name there, even a pipe.
                file = pipes.get(name, pipes.get("stdout"))[1]
            else:
                file = getattr(file, "fileno", sys.__stdout__.fileno)()
            places[name] = f"/proc/{os.getpid()}/fd/{file}"
        request = {"command": [str(word) for word in command[1:]], **places}
        request |= {"cwd": str(cwd or os.getcwd()), "env": {**(os.environ if env is None else env)}}
        self.pid, self.returncode = _ask(request), None
        for _, end in pipes.values():
            os.close(end)
        self.stdout, self.stderr = (
            os.fdopen(pipes[name][0], encoding="utf-8") if name in pipes else None
            for name in ("stdout", "stderr")
        )

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self.returncode = _ask(self.pid)
        return self.returncode

    def wait(self, timeout: float = 600.0) -> int:
        """Return the exit code in the end."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return self.returncode

    def communicate(self, timeout: float = 600.0) -> tuple[str, str]:
        """Return what it writes until it ends; of few lines, as one is read after the other."""
        read = [pipe.read() if pipe else "" for pipe in (self.stdout, self.stderr)]
        self.wait(timeout)
        return read[0], read[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run(command, **settings) -> subprocess.CompletedProcess:
    """Run a script to its end, and return what it wrote."""
    process = Process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@functools.cache
def _server() -> subprocess.Popen:
    """Return the process that is forked; it ends with this one, which holds its input open."""
    # One thread: a fork has no others.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, __file__, *PRELOADED],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    atexit.register(server.communicate)
    assert json.loads(server.stdout.readline()) == 1, "an import started threads"
    return server


def _ask(request):
    server = _server()
    print(json.dumps(request), file=server.stdin, flush=True)
    return json.loads(server.stdout.readline())


def _serve() -> list[str]:
    """Answer requests; return the command of one in the process that is to run it.

    When nobody asks any more, what still runs is ended: a test that failed left it.
    """
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            pid, status = os.waitpid(request, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            running.discard(pid)
        else:
            files = [os.open(request[n], os.O_WRONLY | os.O_APPEND) for n in ("stdout", "stderr")]
            answer = os.fork()
            if not answer:
                _become(request, files)
                return request["command"]
            running.add(answer)
            for file in files:
                os.close(file)
        print(json.dumps(answer), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    sys.exit()


def _become(request: dict, files: list[int]) -> None:
    """Take over files, folder and environment of a new process."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
        os.close(file)
    # Lines as a pipe has them: all at once in the end, unless they are flushed.
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (open until the end)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    # What imports make stays: passes over it would find nothing.
    gc.disable()
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()
    print(len(os.listdir("/proc/self/task")), flush=True)
    sys.argv = _serve()
    sys.path[0] = str(Path(sys.argv[0]).parent)
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    # The interpreter would take apart all modules first, which takes it a second.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
