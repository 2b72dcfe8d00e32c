"""What a policy document says about a request."""

import unittest

from aws import patterns
from aws.conditions import Unsupported, facts, hold
from aws.policy import Request, Verdict, judge

ALLOW, DENY, SILENT = Verdict.ALLOW, Verdict.DENY, Verdict.SILENT
GROUP = "arn:aws:ec2:eu-south-2:1:security-group/sg-1"


def verdict(*statements: dict, action: str = "ec2:CreateTags", resource: str = GROUP, names=None, **known) -> Verdict:
    documents = [{"Version": "2012-10-17", "Statement": list(statements)}]
    return judge(documents, Request(action, resource, facts(known), names or {}))


def allow(**elements) -> dict:
    return {"Effect": "Allow", "Action": "*", "Resource": "*", **elements}


class Statement(unittest.TestCase):
    def test_nothing_is_allowed_without_a_statement(self):
        self.assertIs(verdict(), SILENT)

    def test_an_explicit_deny_wins(self):
        self.assertIs(verdict(allow()), ALLOW)
        self.assertIs(verdict(allow(), {**allow(Action="ec2:Create*"), "Effect": "Deny"}), DENY)

    def test_actions_ignore_case_and_know_wildcards(self):
        self.assertIs(verdict(allow(Action=["EC2:create?ags"])), ALLOW)
        self.assertIs(verdict(allow(Action="ec2:Delete*")), SILENT)
        # Brackets have no meaning in a policy.
        self.assertIs(verdict(allow(Action="ec2:[C]reateTags")), SILENT)

    def test_complements_cover_everything_else(self):
        without = {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}
        self.assertIs(verdict(without), ALLOW)
        self.assertIs(verdict(without, action="iam:PassRole"), SILENT)
        elsewhere = {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:ec2:*:*:vpc/*"}
        self.assertIs(verdict(elsewhere), ALLOW)
        self.assertIs(verdict(elsewhere, resource="arn:aws:ec2:eu-south-2:1:vpc/vpc-1"), SILENT)

    def test_a_wildcard_stays_in_its_part_of_an_arn(self):
        self.assertIs(verdict(allow(Resource="arn:aws:ec2:*:1:security-group/*")), ALLOW)
        self.assertIs(verdict(allow(Resource="arn:aws:ec2:*:security-group/*")), SILENT)

    def test_an_action_without_resources_needs_the_wildcard(self):
        self.assertIs(verdict(allow(Resource="*"), resource="*"), ALLOW)
        self.assertIs(verdict(allow(Resource="arn:aws:ec2:*:*:*/*"), resource="*"), SILENT)

    def test_variables_take_the_values_of_the_request(self):
        own = allow(Resource="arn:aws:s3:::home/${aws:username}/*")
        file = "arn:aws:s3:::home/anna/file"
        self.assertIs(verdict(own, resource=file, **{"aws:username": "anna"}), ALLOW)
        self.assertIs(verdict(own, resource=file, **{"aws:username": "*"}), SILENT)
        self.assertIs(verdict(own, resource=file), SILENT)
        self.assertEqual(patterns.expand("${a, 'b'}", {}), "b")

    def test_principals_are_compared_by_their_type(self):
        logs = allow(Principal={"Service": "logs.eu-south-2.amazonaws.com"})
        self.assertIs(verdict(logs, names={"Service": frozenset({"logs.eu-south-2.amazonaws.com"})}), ALLOW)
        self.assertIs(verdict(logs, names={"AWS": frozenset({"logs.eu-south-2.amazonaws.com"})}), SILENT)
        # {"AWS": "*"} means every principal of AWS accounts, not the services.
        self.assertIs(verdict(allow(Principal={"AWS": "*"}), names={"Service": frozenset({"logs"})}), SILENT)
        self.assertIs(verdict(allow(Principal="*"), names={"Service": frozenset({"logs"})}), ALLOW)
        self.assertIs(
            verdict(allow() | {"NotPrincipal": {"AWS": "a"}}, names={"AWS": frozenset({"a"})}), SILENT
        )


class Condition(unittest.TestCase):
    def holds(self, name: str, wanted, *values: str) -> bool:
        return hold({name: {"Some:Key": wanted}}, {"some:key": list(values)} if values else {})

    def test_each_operator_compares_in_its_own_way(self):
        for name, wanted, fits, differs in (
            ("StringEquals", ["x", "a*"], "a*", "ab"),
            ("StringLike", "a*c?", "abcd", "abc"),
            ("StringEqualsIgnoreCase", "ABC", "abc", "abcd"),
            ("ArnLike", "arn:aws:ec2:*:1:vpc-flow-log/*", "arn:aws:ec2:r:1:vpc-flow-log/fl", "arn:aws:ec2:r:2:vpc-flow-log/fl"),
            ("Bool", True, "true", "false"),
            ("IpAddress", "198.51.100.0/24", "198.51.100.7", "192.0.2.1"),
            ("NumericLessThan", "1.2", "1.1", "1.3"),
            ("StringNotEquals", "a", "b", "a"),
            ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::2:role/x", "arn:aws:iam::1:role/x"),
        ):
            self.assertTrue(self.holds(name, wanted, fits), name)
            self.assertFalse(self.holds(name, wanted, differs), name)

    def test_a_missing_key_fails_except_where_absence_is_meant(self):
        for name, expected in (
            ("StringEquals", False),
            ("StringEqualsIfExists", True),
            ("StringNotEquals", True),
            ("ForAllValues:StringEquals", True),
            ("ForAnyValue:StringEquals", False),
            ("Bool", False),
        ):
            self.assertEqual(self.holds(name, "a"), expected, name)
        self.assertTrue(self.holds("Null", "true"))
        self.assertFalse(self.holds("Null", "true", "a"))
        self.assertTrue(self.holds("Null", False, "a"))

    def test_sets_are_compared_by_their_quantifier(self):
        self.assertTrue(self.holds("ForAllValues:StringLike", ["a", "b*"], "a", "bc"))
        self.assertFalse(self.holds("ForAllValues:StringLike", ["a", "b*"], "a", "c"))
        self.assertTrue(self.holds("ForAnyValue:StringEquals", "a", "a", "c"))

    def test_all_conditions_must_hold(self):
        block = {"StringEquals": {"a": "1", "b": "2"}}
        self.assertTrue(hold(block, facts({"A": "1", "B": "2"})))
        self.assertFalse(hold(block, facts({"A": "1", "B": "3"})))

    def test_an_unknown_operator_is_reported_and_never_decides(self):
        with self.assertRaisesRegex(Unsupported, "DateGreaterThan"):
            self.holds("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")


if __name__ == "__main__":
    unittest.main()
