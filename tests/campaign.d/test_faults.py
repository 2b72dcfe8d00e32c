"""When faults start and end, and that a seed repeats them. What they do to the sandbox needs the sandbox."""

import json
import os
import random
import re
import signal
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import fault
import faults
import faults_kubernetes
import faults_world
import proxy


class Lives(unittest.TestCase):
    """A fault is asked repeatedly while the run lives."""

    def run_through(self, one: fault.Fault, *seconds: float) -> None:
        for now in seconds:
            one.at(now)
            if one._attempt:
                one._attempt.exception()

    def test_a_fault_starts_once_at_its_moment_and_ends(self):
        calls = []
        one = fault.Fault("x", lambda: not calls.append("start"), lambda: calls.append("end"), 3)
        self.run_through(one, 1, 2)
        self.assertEqual((calls, str(one)), ([], "x from 3 s (not reached)"))
        self.run_through(one, 3, 4, 9, 20)
        one.end()
        self.assertEqual((calls, str(one)), (["start", "end"], "x from 3 s"))

    def test_a_fault_that_was_not_reached_needs_no_end(self):
        end = mock.Mock()
        one = fault.Fault("x", lambda: True, end, 3)
        self.run_through(one, 2)
        one.end()
        end.assert_not_called()

    def test_what_does_not_exist_yet_is_tried_again_at_intervals(self):
        start = mock.Mock(side_effect=[False, False, True])
        one = fault.Fault("x", start, lambda: None, 0)
        self.run_through(one, 0, 1, 4.9)
        self.assertEqual(start.call_count, 1)
        self.run_through(one, 5, 10, 15, 20)
        self.assertEqual((start.call_count, one.started), (3, True))
        one.end()

    def test_a_fault_from_second_0_is_in_effect_before_the_run_starts(self):
        start = mock.Mock(return_value=True)
        one = fault.Fault("x", start, lambda: None, 0)
        one.before_run()
        self.assertTrue(one.started)
        self.run_through(one, 0, 9)
        start.assert_called_once()
        one.end()

    def test_a_fault_of_a_later_moment_does_not_start_before_the_run(self):
        start = mock.Mock(return_value=True)
        one = fault.Fault("x", start, lambda: None, 3)
        one.before_run()
        start.assert_not_called()
        one.end()

    def test_what_does_not_exist_before_the_run_is_retried_during_it(self):
        start = mock.Mock(side_effect=[False, True])
        one = fault.Fault("x", start, lambda: None, 0)
        one.before_run()
        self.run_through(one, 0, 4.9)
        self.assertEqual((start.call_count, one.started), (1, False))
        self.run_through(one, 5, 6)
        self.assertEqual((start.call_count, one.started), (2, True))
        one.end()

    def test_a_fault_that_fails_before_the_run_is_ended(self):
        end = mock.Mock()
        one = fault.Fault("x", mock.Mock(side_effect=fault.Failure("the sandbox is down")), end, 0)
        self.assertRaises(fault.Failure, one.before_run)
        one.end()
        end.assert_called_once()

    def test_the_run_is_not_held_up_and_the_end_waits_for_the_start(self):
        order = []
        finish = threading.Event()

        def start() -> bool:
            # Times out if `at` waits for it, because the test sets the event only afterwards.
            order.append(f"started {finish.wait(5)}")
            return True

        one = fault.Fault("x", start, lambda: order.append("ended"), 0)
        one.at(0)
        one.at(9)
        finish.set()
        one.end()
        self.assertEqual((order, one.started), (["started True", "ended"], True))

    def test_a_start_that_failed_in_its_middle_is_ended_and_reported(self):
        end = mock.Mock()
        one = fault.Fault("x", mock.Mock(side_effect=fault.Failure("the sandbox is down")), end, 0)
        one.at(0)
        with self.assertRaisesRegex(fault.Failure, "is down"):
            one.end()
        end.assert_called_once()


class Commands(unittest.TestCase):
    """Faults start and end by commands of the sandbox."""

    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.program = folder / "sandbox"
        self.enterContext(mock.patch.object(fault, "SANDBOX", folder))

    def run_as(self, script: str, **more) -> str:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)
        return fault.sandbox("kubectl", "spain", "apply", **more)

    def test_the_output_of_a_command_that_succeeds_is_returned(self):
        self.assertEqual(self.run_as('echo "$*"; cat', given="objects"), "kubectl spain apply\nobjects")

    def test_a_command_that_fails_is_reported_with_its_error(self):
        with self.assertRaisesRegex(fault.Failure, "`sandbox kubectl spain` ended with 3: no cluster"):
            self.run_as("echo no cluster >&2; exit 3")

    def test_a_command_that_hangs_is_killed_with_its_children(self):
        with (
            mock.patch.object(fault, "PATIENCE", 0.1),
            mock.patch.object(fault.os, "killpg", wraps=os.killpg) as killed,
            self.assertRaisesRegex(fault.Failure, "`sandbox kubectl spain` did not end within 0.1 s"),
        ):
            # The child keeps the output open, as kubectl does.
            self.run_as("sleep 60 & wait")
        killed.assert_called_once_with(mock.ANY, signal.SIGKILL)


class Choices(unittest.TestCase):
    def names(self, seed: int) -> list[str]:
        rng = random.Random(seed)
        return [str(faults.choose(rng, 100)) for _ in range(400)]

    def test_a_seed_repeats_its_faults(self):
        self.assertEqual(self.names(7), self.names(7))
        self.assertNotEqual(self.names(7), self.names(8))

    def test_only_faults_with_a_name_are_chosen(self):
        rng = random.Random(7)
        pattern = "*'status': 429*"
        self.assertTrue(all("'status': 429" in faults.choose(rng, 100, pattern).name for _ in range(20)))
        with self.assertRaisesRegex(ValueError, "no fault matches"):
            faults.choose(rng, 100, "*earthquake*")

    def test_the_length_of_a_run_does_not_change_later_choices(self):
        for seed in range(200):
            short, long = random.Random(seed), random.Random(seed)
            faults.choose(short, 7, "*4*")
            faults.choose(long, 1234.5, "*4*")
            self.assertEqual(short.getstate(), long.getstate())

    def test_every_kind_of_fault_is_chosen(self):
        text = "\n".join(self.names(1))
        kinds = ["'ThrottlingException'", "git is away", "'service': 'dns'", "denies writes", "webhook of spain is missing",
                 "external-secrets-webhook of", "Argo CD of", "hangs", "kubernetes-mexico fails", "ecr-spain fails"]
        for kind in kinds:
            self.assertIn(kind, text)

    def test_kubernetes_and_registries_answer_every_error_and_reset(self):
        for part, statuses in (("kubernetes-", {"403", "429", "500"}), ("(?:addon-registry|ecr-)", {"401", "429", "500"})):
            rules = [name for name in self.names(1) if re.match(rf"{part}\w* fails ", name)]
            found = {match[1] if (match := re.search(r"'status': (\d+)", rule)) else "reset" for rule in rules}
            self.assertEqual(found, statuses | {"reset"})

    def test_the_rules_of_the_proxy_are_valid(self):
        rng = random.Random(1)
        with (
            mock.patch.object(faults_world, "sandbox") as asked,
            mock.patch.object(faults_kubernetes, "has_cluster", lambda _: True),
        ):
            for choose in (faults_world.registry, lambda rng, _: faults_kubernetes.answer(rng, "spain", 0),
                           lambda rng, _: faults_kubernetes.reset(rng, "spain", 0)):
                for _ in range(50):
                    one = choose(rng, 1)
                    one.at(9)
                    one.end()
        breaks = [call.args for call in asked.call_args_list if call.args[0] == "break"]
        self.assertEqual(len(breaks), 150)
        for _, part, rule in breaks:
            parsed = proxy.Rule.parse(json.loads(rule))
            # The sandbox's own requests to an API server come from the same address.
            self.assertEqual(part.startswith("kubernetes-"), parsed.authorization == faults_kubernetes.PROGRAM)


class Ends(unittest.TestCase):
    """A fault in a cluster must not outlive its run, unless the cluster does not either."""

    def end(self, exists: list[bool], results: list[str | None]) -> int:
        one = faults_kubernetes.forbidden(random.Random(), "spain", 0)
        with (
            mock.patch.object(faults_kubernetes, "has_cluster", side_effect=exists),
            mock.patch.object(faults_kubernetes, "_kubectl", side_effect=results) as asked,
            mock.patch.object(faults_kubernetes.time, "sleep"),
        ):
            one.at(0)
            one.end()
        return asked.call_count

    def test_the_deletion_of_its_objects_is_repeated_until_it_succeeds(self):
        self.assertEqual(self.end([True] * 3, ["applied", None, None, "deleted"]), 4)

    def test_a_deleted_cluster_needs_no_end(self):
        self.assertEqual(self.end([True, False], ["applied", None]), 2)

    def test_a_cluster_may_be_deleted_while_its_proxy_starts(self):
        for exists, error in (([True, False], None), ([True, True], fault.Failure)):
            one = faults_world.broken("kubernetes-spain", {"status": 500}, 0, mock.Mock(side_effect=exists))
            with mock.patch.object(faults_world, "sandbox", side_effect=[fault.Failure("no cluster"), ""]) as asked:
                one.at(0)
                if error:
                    self.assertRaises(error, one.end)
                else:
                    one.end()
            self.assertEqual([call.args[0] for call in asked.call_args_list], ["break", "repair"])
            self.assertFalse(one.started)

    def test_an_api_server_that_stays_away_ends_the_campaign(self):
        with mock.patch.object(faults_kubernetes, "PATIENCE", -1), self.assertRaisesRegex(fault.Failure, "cannot be ended"):
            self.end([True], ["applied", None])

    def test_a_workload_gets_its_replicas_back_after_an_attempt_that_timed_out(self):
        one = faults_kubernetes.away(random.Random(), "spain", 0)
        # Read, scaled without an answer, scaled, exists, scaled back.
        results = ["2", None, "", "exists", ""]
        with (
            mock.patch.object(faults_kubernetes, "has_cluster", lambda _: True),
            mock.patch.object(faults_kubernetes, "_kubectl", side_effect=results) as asked,
        ):
            for now in (0, 0, 5):
                one.at(now)
                if one._attempt:
                    one._attempt.exception()
            one.end()
        self.assertTrue(one.started)
        self.assertEqual(asked.call_args.args[-1], "--replicas=2")


if __name__ == "__main__":
    unittest.main()
