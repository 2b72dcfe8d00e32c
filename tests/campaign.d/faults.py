"""What goes wrong around a run that is killed: errors of the AWS API, and parts of the world that fail, stop or restart.

A fault starts at some moment of the run and ends with it: the run that has to converge meets none. All choices come from
the campaign's generator, before the run starts. How many random bits they take does not depend on the length of a run, so
the campaign's later choices do not depend on it either.
"""

from __future__ import annotations

import fnmatch
import random

import faults_aws
import faults_kubernetes
import faults_world
from fault import Fault

# Half are errors of the AWS API, which has most of the calls.
KINDS = [faults_aws.error, faults_aws.error, faults_kubernetes.choose, faults_world.choose]


# A pattern that no fault has is noticed within a second.
ATTEMPTS = 100_000


def choose(rng: random.Random, length: float, only: str = "*") -> Fault:
    """A fault for a run that takes `length` seconds if nothing happens, whose name matches a pattern.

    Raises ValueError if there is none.
    """
    for _ in range(ATTEMPTS):
        fault: Fault = rng.choice(KINDS)(rng, length)
        if fnmatch.fnmatch(fault.name, only):
            return fault
    raise ValueError(f"no fault matches {only!r}")
