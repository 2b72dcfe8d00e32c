"""What the scenarios rely on: jobs that die with all their children, and the right reading of what was seen."""

import contextlib
import io
import os
import signal
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import seen
from job import Job, is_running, is_stopped, send
from report import Report
from shared import Failure, wait_until


class Jobs(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def start(self, script: str) -> Job:
        job = Job("a job", ["sh", "-c", script], self.folder, dict(os.environ), self.folder / "output.txt")
        self.addCleanup(job.kill)
        return job

    def test_a_kill_ends_children_with_a_session_of_their_own_before_they_can_react(self):
        job = self.start('trap "" INT; setsid sh -c \'trap "echo reacted" INT TERM; sleep 60\' & echo "$!"; wait')
        child = job.child("sleep", "60", 10)
        self.assertGreater(job.kill(), 2)
        self.assertFalse(is_running(child))
        self.assertNotIn("reacted", job.said())
        self.assertEqual(job.process.returncode, -signal.SIGKILL)
        self.assertEqual(job.kill(), 0)

    def test_a_child_can_be_stopped_and_killed(self):
        job = self.start("sleep 61 & wait")
        child = job.child("sleep", "61", 10)
        send(child, signal.SIGSTOP)
        wait_until(lambda: is_stopped(child), "the child to stop", 5)
        job.kill()
        self.assertFalse(is_running(child))

    def test_a_job_that_ends_before_it_says_something_is_a_failure(self):
        with self.assertRaisesRegex(Failure, "ended with 3 before"):
            self.start("exit 3").says("never", 10)
        self.start("echo last words; exit 3").says("last words", 10)

    def test_the_summary_is_read(self):
        said = "16:05:24 ✓ x  38 steps: 9 changed in 1s\\n38 steps: 12 changed, 26 unchanged in 3m 05s\\n"
        job = self.start(f"printf '{said}'")
        job.ends(10)
        self.assertEqual(job.changed(), (12, 38))
        unchanged = self.start("echo '1 step: 1 unchanged in 2s'")
        unchanged.ends(10)
        self.assertEqual(unchanged.changed(), (0, 1))


class Account(unittest.TestCase):
    def test_state_buckets_their_keys_and_pending_keys_are_not_leftovers(self):
        def one(service, kind, name, **more):
            return {"service": service, "region": "eu-south-2", "type": kind, "id": name, **more}

        resources = [
            one("s3", "bucket", "payment-latency-api-tfstate-123456789012-eu-south-2"),
            one("kms", "alias", "alias/payment-latency-api-spain-state", of="key-1"),
            one("kms", "key", "key-1"),
            one("kms", "key", "key-2", state="PendingDeletion"),
            one("kms", "key", "key-3", state="Enabled"),
            one("ec2", "vpc", "vpc-1"),
        ]
        with mock.patch.object(seen.account, "page", lambda _: resources):
            self.assertEqual(seen.leftovers(), ["eu-south-2 kms key key-3", "eu-south-2 ec2 vpc vpc-1"])


class Reports(unittest.TestCase):
    def test_a_scenario_that_cannot_continue_has_failed_and_the_next_one_starts(self):
        report, out = Report(mock.Mock(jobs=[])), io.StringIO()
        with contextlib.redirect_stdout(out):
            with report.scenario("one") as scenario:
                scenario.see("something")
                raise Failure("timed out")
            with report.scenario("two") as scenario:
                scenario.expect(True, "never printed")
            self.assertEqual(report.summarize(), 1)
        lines = out.getvalue().splitlines()
        self.assertRegex(lines[0], r"^FAILED  one: something; EXPECTED timed out  \(0 s\)$")
        self.assertRegex(lines[1], r"^ok      two: ")
        self.assertEqual(lines[2], "2 scenarios, 1 failed")


if __name__ == "__main__":
    unittest.main()
