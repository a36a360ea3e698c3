"""The Hub's client with patience, and its errors as one sentence each."""

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import huggingface_hub
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, constants, errors
from huggingface_hub.hf_api import DatasetInfo, RepoSibling

from distilled_envs.errors import DistilledEnvsError, HubError, HubUnreachableError
from distilled_envs.formatting import in_a_line

# What the client speaks HTTP with is another package since its version 2.
_VERSION = int(huggingface_hub.__version__.split(".")[0])
_http = importlib.import_module("httpx2" if _VERSION >= 2 else "httpx")

NO_WAY = (
    errors.OfflineModeIsEnabled,
    _http.TransportError,
    json.JSONDecodeError,  # the page of some other server, which wants a login first
    RuntimeError,  # what hf_xet raises for all its troubles
)
"""What the client raises where there is no way to the Hub."""

ATTEMPTS = 4
LONGEST_WAIT = 60.0
"""Seconds; a Hub that asks for more gets no further attempt."""
REACH = 4.0
"""Seconds in which a Hub must answer at all."""
SILENCE = 30.0
"""Seconds without an answer after which a request that writes is given up; the client makes some of
them up to six times."""

Result = TypeVar("Result")


def patiently(call: Callable[[], Result]) -> Result:
    """Call again after status 429 or 5xx, when the Hub says, or after 1, 2, 4 seconds."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except errors.HfHubHTTPError as error:
            asked = error.response.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdigit() else 2.0**attempt
            transient = error.response.status_code == 429 or error.response.status_code >= 500
            if not transient or attempt == ATTEMPTS - 1 or wait > LONGEST_WAIT:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def committed(
    api: HfApi,
    repo_id: str,
    contents: Mapping[str, bytes],
    *,
    create_pr: bool = False,
    **how: Any,
) -> CommitInfo:
    """A commit of files, by their paths, that is tried again where that is safe.

    Args:
        api: The client.
        repo_id: Where it goes.
        contents: The files.
        create_pr: Open a pull request instead.
        **how: What ``create_commit`` takes beside, the ``parent_commit`` among it.
    """
    operations = [CommitOperationAdd(path, content) for path, content in contents.items()]

    def commit() -> CommitInfo:
        return api.create_commit(repo_id, operations, create_pr=create_pr, **how)

    # Once more is safe, since the parent is given; but a pull request would be opened twice.
    return commit() if create_pr else patiently(commit)


@contextmanager
def impatient() -> Iterator[None]:
    """Let no request of the client wait for longer than :data:`SILENCE` inside the block.

    Where a call names no time of its own, as those that write, the client waits for ever. It makes
    itself anew after troubles, so that its factory has to be told.
    """
    home = importlib.import_module("huggingface_hub.utils._http")
    before = getattr(home, "_GLOBAL_CLIENT_FACTORY", home.default_client_factory)

    def factory() -> Any:
        client = before()
        client.timeout = _http.Timeout(SILENCE)
        return client

    huggingface_hub.set_client_factory(factory)
    try:
        yield
    finally:
        huggingface_hub.set_client_factory(before)


def check_reachable() -> None:
    """Find out within seconds that there is no way to the Hub.

    The client itself tries for half a minute, and says so each time.

    Raises:
        What the client speaks HTTP with raises, where there is none.
    """
    huggingface_hub.get_session().head(constants.ENDPOINT, timeout=REACH)


def dataset_info(
    repo_id: str, revision: str | None, *, files_metadata: bool = False
) -> DatasetInfo:
    """What a repo holds, asked patiently, but not for ever: a Hub may say nothing at all."""
    return patiently(
        lambda: HfApi().dataset_info(
            repo_id,
            revision=revision,
            files_metadata=files_metadata,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    )


def files_of(info: DatasetInfo) -> dict[str, RepoSibling]:
    """What a repo holds, by path; :func:`dataset_info` always asks for it."""
    return {file.rfilename: file for file in cast(list[RepoSibling], info.siblings)}


def unreachable(error: Exception) -> bool:
    """Whether an error of the client means that there is no way to the Hub, or that it is down."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, NO_WAY)


@contextmanager
def explained(
    repo_id: str, revision: str | None = None, what: str = "dataset", *, writes: bool = False
) -> Iterator[None]:
    """Turn errors of the client into :class:`~distilled_envs.errors.HubError`.

    Args:
        repo_id: What is asked for.
        revision: Of it.
        what: Its kind.
        writes: Whether it is changed, and not only read.
    """
    where = repo_id if revision is None else f"{repo_id} at {revision}"
    try:
        yield
    except DistilledEnvsError:  # ours already
        raise
    except errors.HFValidationError as error:
        raise HubError(
            f"{repo_id!r} is no repo id, which reads user/name: {in_a_line(error)}"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repo_id} has no revision {revision!r} on the Hub.") from None
    except errors.GatedRepoError:
        raise HubError(f"{repo_id} is gated: accept its conditions on its page first.") from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"There is no {what} {repo_id} on the Hub, or it is private and needs another token: "
            "run `hf auth login`, or set HF_TOKEN."
        ) from None
    except errors.LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, errors.HfHubHTTPError):  # it was reached, and refuses
            raise _refused(error.__cause__, where, writes) from None
        raise HubUnreachableError(
            f"{where} is not in the cache, and the Hub can't be reached: check the connection, "
            "HF_ENDPOINT and HF_HUB_OFFLINE."
        ) from None
    except errors.EntryNotFoundError as error:
        raise HubError(f"{where} lacks a file of a distilled dataset: {in_a_line(error)}") from None
    except errors.HfHubHTTPError as error:
        raise _refused(error, where, writes) from None
    except NO_WAY as error:
        raise HubUnreachableError(
            f"The Hub can't be reached for {where}: {in_a_line(error)}"
        ) from None
    except OSError as error:  # a full disk, a cache that can't be written
        raise HubError(f"The files of {where} can't be written here: {in_a_line(error)}") from None
    except (TypeError, KeyError, ValueError) as error:  # anybody's card, a token that is no text
        raise HubError(
            f"The Hub and its client don't agree on {where}: {in_a_line(error)}"
        ) from None


def _refused(error: errors.HfHubHTTPError, where: str, writes: bool) -> HubError:
    """What an answer of the Hub that is an error is to a user."""
    status = error.response.status_code
    hints = {
        401: "the token is not valid: run `hf auth login`, or set HF_TOKEN",
        403: f"this token may not {'write' if writes else 'read'} there",
        412: "somebody else has changed it meanwhile: publish again",
        429: "too many requests: try again in some minutes",
    }
    hint = hints.get(status) or (error.server_message or "try again later").splitlines()[0]
    kind = HubUnreachableError if unreachable(error) else HubError
    return kind(f"The Hub answers with status {status} for {where}: {hint.rstrip('.')}.")
