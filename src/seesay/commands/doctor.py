"""`seesay doctor`: what this machine has and what it lacks."""

from seesay.commands.options import print_json


def doctor(*, json: bool = False) -> int:
    """Say what this machine has and what it lacks; exit 1 where `seesay demo` could not run.

    Args:
        json: Print one JSON object: ready, and the list of findings.
    """
    from seesay.doctor import can_run, examine, render

    findings = examine()
    ready = can_run(findings)
    if json:
        print_json({"ready": ready, "findings": findings})
    else:
        print(render(findings))
    return 0 if ready else 1
