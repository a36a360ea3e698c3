"""Uses mutated datasets, or goes on with mutated runs, and says what it is at.

``python worker.py FOLDER SEED FIRST LAST``: lines of JSON on its output, one before each mutation
and one after it. Whoever started it sees which one ended it.
"""

import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from mutations import mutate

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError
from distilled_envs.training import Settings, distill

SECONDS, BYTES = 5, 2**30
"""That one mutation may take, and that it may add to the process's memory."""


class TooLong(BaseException):
    """It took more than its seconds."""


def used(folder: Path, settings: Settings | None) -> None:
    """All that people do with a dataset first; the run of settings goes on."""
    if settings is not None:
        distill(settings, folder, resume=True, progress=False)
        return
    dataset = DistilledDataset.load(folder)
    repr(dataset)
    dataset.diagnose(policy := dataset.new_policy(seed=0))
    dataset.train(policy)
    env = dataset.make_env()
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    dataset.save(folder.parent / "again")
    DistilledDataset.load(folder.parent / "again")


def said_of(folder: Path, settings: Settings | None) -> str:
    """Nothing if all is well; the fault if it is one of ours, or a raw exception, marked so."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)  # of its own, on a busy machine, too
    try:
        used(folder, settings)
        return "used"
    except DistilledEnvsError as error:
        said = str(error)
        return f"RAW two lines: {said[:300]}" if "\n" in said else "refused"
    except TooLong:
        return f"RAW too long: {traceback.format_exc()[-600:]}"
    except Exception:
        return f"RAW {traceback.format_exc()[-900:]}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _alarm(*_: object) -> None:
    raise TooLong


def main(source: str, seed: str, first: str, last: str) -> None:
    """Mutations ``first`` to ``last``, each from a seed of its own."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGVTALRM, _alarm)
    settings, run = None, Path(source, "run.json")
    if run.exists():
        values = json.loads(run.read_text())["settings"]
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        settings = Settings(**values | lists)
    with tempfile.TemporaryDirectory() as parent:
        used(Path(shutil.copytree(source, Path(parent) / "set")), settings)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + BYTES, pages + BYTES))
    for number in range(int(first), int(last)):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "set"
            shutil.copytree(source, folder)
            done = mutate(folder, random.Random(f"{seed}-{number}"))
            print(json.dumps({"number": number, "done": done}), flush=True)
            print(json.dumps({"number": number, "said": said_of(folder, settings)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
