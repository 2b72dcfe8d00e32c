"""When faults begin and end, and that a seed repeats them. What they do to the sandbox needs the sandbox."""

import random
import threading
import time
import unittest
from unittest import mock

import fault
import faults
import faults_kubernetes


class Lives(unittest.TestCase):
    """A fault is asked again and again while the run lives."""

    def run_through(self, one: fault.Fault, *seconds: float) -> None:
        for now in seconds:
            one.at(now)
            if one._attempt:
                one._attempt.exception()

    def test_a_fault_begins_once_at_its_moment_and_ends(self):
        calls = []
        one = fault.Fault("x", lambda: not calls.append("begin"), lambda: calls.append("end"), 3)
        self.run_through(one, 1, 2)
        self.assertEqual((calls, str(one)), ([], "x from 3 s (not reached)"))
        self.run_through(one, 3, 4, 9, 20)
        one.end()
        self.assertEqual((calls, str(one)), (["begin", "end"], "x from 3 s"))

    def test_a_fault_that_was_not_reached_needs_no_end(self):
        end = mock.Mock()
        one = fault.Fault("x", lambda: True, end, 3)
        self.run_through(one, 2)
        one.end()
        end.assert_not_called()

    def test_what_does_not_exist_yet_is_tried_again_at_intervals(self):
        begin = mock.Mock(side_effect=[False, False, True])
        one = fault.Fault("x", begin, lambda: None, 0)
        self.run_through(one, 0, 1, 4.9)
        self.assertEqual(begin.call_count, 1)
        self.run_through(one, 5, 10, 15, 20)
        self.assertEqual((begin.call_count, one.began), (3, True))
        one.end()

    def test_the_run_is_not_held_up_and_the_end_waits_for_the_beginning(self):
        order = []
        finish = threading.Event()
        one = fault.Fault("x", lambda: not order.append(f"began {finish.wait(5)}"), lambda: order.append("ended"), 0)
        started_at = time.monotonic()
        one.at(0)
        one.at(9)
        self.assertLess(time.monotonic() - started_at, 1)
        finish.set()
        one.end()
        self.assertEqual((order, one.began), (["began True", "ended"], True))

    def test_a_beginning_that_failed_in_its_middle_is_ended_and_reported(self):
        end = mock.Mock()
        one = fault.Fault("x", mock.Mock(side_effect=fault.Failure("the sandbox is down")), end, 0)
        one.at(0)
        with self.assertRaisesRegex(fault.Failure, "is down"):
            one.end()
        end.assert_called_once()


class Choices(unittest.TestCase):
    def names(self, seed: int) -> list[str]:
        rng = random.Random(seed)
        return [str(faults.choose(rng, 100)) for _ in range(400)]

    def test_a_seed_repeats_its_faults(self):
        self.assertEqual(self.names(7), self.names(7))
        self.assertNotEqual(self.names(7), self.names(8))

    def test_every_kind_of_fault_is_chosen(self):
        text = "\n".join(self.names(1))
        for kind in ("'ThrottlingException'", "git is away", "external-secrets-webhook of", "Argo CD of", "hangs"):
            self.assertIn(kind, text)


class Ends(unittest.TestCase):
    """A fault in a cluster must not outlive its run, unless the cluster does not either."""

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
        self.assertTrue(one.began)
        self.assertEqual(asked.call_args.args[-1], "--replicas=2")


if __name__ == "__main__":
    unittest.main()
