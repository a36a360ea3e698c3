"""Changes to a folder of a dataset or of a run, at random: of values, and of files' bytes."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from distilled_envs.storage.files import sha256
from distilled_envs.storage.folder import ENCODER_FILE, ROWS_FILE, SPEC_FILE

CHECKPOINT = "checkpoint.pt"
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.5, 1e-300, 1e300, 9e18, 10**400, 10**9, 2**63),
    *("", "x", "relu", "mlp", "\x00", "é" * 50, "a" * 10_000, "../../x", "CartPole-v1", "5"),
    *([], [1], [None], [[]], [1e300] * 8, [10**9], [64] * 256, [16_384] * 256, [-1], ["a"]),
    *({}, {"a": 1}, {"id": "CartPole-v1"}, [{}], {"": None}),
)
"""What may stand where something else should."""
RAW = ("NaN", "Infinity", "1e400", "-1e400", "[" * 5_000, '"\\ud800"', "\ufeff")
"""What json.dumps never writes."""


def places(record: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values of a JSON record."""
    inside = record.items() if isinstance(record, dict) else enumerate(record)
    for key, value in inside:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def mutate(folder: Path, chance: random.Random) -> str:
    """Change a folder in place; what was done, in words.

    The hashes of a dataset's files are made right again.
    """
    if (folder / CHECKPOINT).exists():
        return _of_run(folder, chance)
    files = [path.name for path in folder.iterdir() if path.name in (ROWS_FILE, ENCODER_FILE)]
    if chance.random() < 0.35:
        name = chance.choice(files)
        done = _of_bytes(folder / name, chance)
        record = json.loads((folder / SPEC_FILE).read_text())
        record["files"][name] = sha256(folder / name)
        (folder / SPEC_FILE).write_text(json.dumps(record))
        return done
    return _of_spec(folder, chance)


def _of_run(folder: Path, chance: random.Random) -> str:
    """Of a run that was stopped: of its settings, its checkpoint's values, or its bytes."""
    kind = chance.random()
    if kind < 0.3:
        return _of_json(folder / "run.json", chance)
    if kind < 0.5:
        return _of_bytes(folder / CHECKPOINT, chance)
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    done = _of_record(state, chance)
    torch.save(state, folder / CHECKPOINT)
    return done


def _of_spec(folder: Path, chance: random.Random) -> str:
    return _of_json(folder / SPEC_FILE, chance)


def _of_json(path: Path, chance: random.Random) -> str:
    record = json.loads(path.read_text())
    done = _of_record(record, chance)
    text = json.dumps(record)
    while '"@raw@"' in text:
        text = text.replace('"@raw@"', chance.choice(RAW), 1)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return done


def _of_record(record: Any, chance: random.Random) -> str:
    """Change values of nested dictionaries and lists, in place."""
    known, done = [*places(record)], []
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        *outer, key = chance.choice(known)
        inside = record
        try:
            for each in outer:
                inside = inside[each]
            kind = chance.random()
            if kind < 0.15:
                del inside[key]
                done.append(f"without {outer}.{key}")
            elif kind < 0.2 and isinstance(inside, dict):
                inside[f"{key}_"] = inside.pop(key)
                done.append(f"{outer}.{key} renamed")
            elif kind < 0.3:
                other = record
                for each in chance.choice(known):
                    other = other[each]
                inside[key] = copy.deepcopy(other)
                done.append(f"{outer}.{key} = {str(other)[:40]}")
            elif kind < 0.35:
                inside[key] = "@raw@"
                done.append(f"{outer}.{key} raw")
            else:
                inside[key] = copy.deepcopy(chance.choice(STRANGE))
                done.append(f"{outer}.{key} = {str(inside[key])[:40]}")
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return "; ".join(done)


def _of_bytes(path: Path, chance: random.Random) -> str:
    content = bytearray(path.read_bytes())
    kind = chance.choice(("flip", "flip", "flip", "cut", "insert", "swap"))
    places = [chance.randrange(len(content)) for _ in range(chance.choice((1, 1, 2, 8)))]
    if kind == "flip":
        for place in places:
            content[place] = chance.choice((content[place] ^ 1 << chance.randrange(8), 0, 255))
    elif kind == "cut":
        del content[min(places) : min(places) + chance.choice((1, 4, len(content)))]
    elif kind == "insert":
        content[places[0] : places[0]] = bytes(chance.randrange(256) for _ in range(4))
    else:
        one, two = places[0], chance.randrange(len(content))
        content[one : one + 8], content[two : two + 8] = (
            content[two : two + 8],
            content[one : one + 8],
        )
    path.write_bytes(bytes(content))
    return f"{kind} {path.name} at {places}"
