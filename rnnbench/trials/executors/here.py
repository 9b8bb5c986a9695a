"""Trials in this process, one after the other."""

from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.executors.account import Account, now_and_then
from rnnbench.trials.run import run_trial


def work(account: Account, where: dict[str, Any]) -> None:
    """Run every waiting trial; one that the caller can mend is reported, any other error is raised."""
    while account.waiting:
        account.seconds()
        trial = account.next()
        tell = now_and_then(lambda step, loss, trial=trial: account.progress(trial, step, loss))

        def progress(step: int, loss: float, tell=tell) -> None:
            account.seconds()
            tell(step, loss)

        try:
            record = run_trial(trial, progress).to_record(where)
        except RnnbenchError as error:
            account.fail(trial, str(error))
        else:
            account.finish(trial, record)
