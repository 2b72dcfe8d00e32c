"""What a campaign does to its runs, whatever happens in between, and that a seed repeats its choices."""

import argparse
import os
import random
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import campaign
import fault
import faults


class Campaigns(unittest.TestCase):
    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {"PAYDEPLOY_WORKSPACE": str(folder)}))
        program = folder / "program"
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        options = argparse.Namespace(work=folder, program=program, power_cut=False, faults=True, only="*", runs=1, seed=1, report=None)
        self.campaign = campaign.Campaign(options, random.Random(1))
        # The kill itself must not come before the error.
        self.campaign.took = {"up": 60.0}
        self.campaign.records = {"up": 1}
        self.events = []
        start = self.campaign.start

        def started(*arguments):
            self.run = start(*arguments)
            self.events.append("run")
            return self.run

        self.campaign.start = started

    def kill_with(self, one: fault.Fault) -> None:
        with mock.patch.object(faults, "choose", lambda *_: one):
            self.campaign.kill("up")

    def end(self) -> None:
        self.events.append(f"end, run ended with {self.run.process.poll()}")

    def test_a_fault_that_fails_to_start_leaves_no_run_and_is_ended(self):
        one = fault.Fault("x", mock.Mock(side_effect=fault.Failure("the sandbox is down")), self.end, 0.01)
        with self.assertRaisesRegex(fault.Failure, "is down"):
            self.kill_with(one)
        self.assertEqual(self.events, ["run", "end, run ended with -9"])

    def test_a_fault_from_second_0_is_in_effect_before_its_run_starts(self):
        one = fault.Fault("x", lambda: not self.events.append("fault"), self.end, 0)
        self.campaign.choose_point = lambda _, run: run.after_seconds(0)
        self.kill_with(one)
        self.assertEqual(self.events, ["fault", "run", "end, run ended with -9"])

    def test_an_interrupt_leaves_no_run_and_no_fault(self):
        one = fault.Fault("x", lambda: True, self.end, 0.01)

        def interrupt(*_):
            if one.started:
                raise KeyboardInterrupt

        with mock.patch.object(self.campaign.written, "look_at_children", interrupt), self.assertRaises(KeyboardInterrupt):
            self.kill_with(one)
        self.assertEqual(self.events, ["run", "end, run ended with -9"])

    def test_what_was_measured_does_not_change_later_choices(self):
        states = []
        for took, records in ((10.0, 3), (99.5, 64), (300.0, 1000)):
            self.campaign.rng.seed(1)
            self.campaign.took, self.campaign.records = {"up": took}, {"up": records}
            for _ in range(50):
                self.campaign.choose_point("up", mock.Mock())
            states.append(self.campaign.rng.getstate())
        self.assertEqual(states, [states[0]] * 3)

    def test_every_record_is_chosen(self):
        self.campaign.records = {"up": 4}
        run = mock.Mock()
        for _ in range(200):
            self.campaign.choose_point("up", run)
        self.assertEqual({call.args[0] for call in run.after_records.call_args_list}, {1, 2, 3, 4})


if __name__ == "__main__":
    unittest.main()
