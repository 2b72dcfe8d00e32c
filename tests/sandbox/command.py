#!/usr/bin/env python3
"""Manage the sandbox: two AWS regions with Kubernetes clusters, registries and databases, and a Git repository.

Exit status: 0 success, or the sandbox is up; 1 failure, or the sandbox is broken; 2 usage error; 3 the sandbox is not up;
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import breaking
import ca
import engine
import places
import processes
import state
import workspace
from waiting import Failure


def up(options: argparse.Namespace) -> int:
    import start

    if options.no_clusters:
        os.environ[start.NO_CLUSTERS] = "1"
    return start.up(image=not options.no_image)


def down(_: argparse.Namespace) -> int:
    import stop

    return stop.down()


def status(_: argparse.Namespace) -> int:
    exit_status, lines = state.check()
    print("\n".join(lines))
    return exit_status


def stop_part(options: argparse.Namespace) -> int:
    processes.stop([processes.named(options.part)])
    return 0


def start_part(options: argparse.Namespace) -> int:
    processes.restart(processes.named(options.part))
    return 0


def break_part(options: argparse.Namespace) -> int:
    breaking.start(options.part, [rule for text in options.rules for rule in _rules(text)])
    return 0


def repair_part(options: argparse.Namespace) -> int:
    breaking.repair(options.part)
    return 0


def environment(_: argparse.Namespace) -> int:
    credentials = json.loads((places.state() / "aws" / "credentials.json").read_text())
    tools = places.tools()
    exports = {
        "AWS_ENDPOINT_URL": f"http://{places.HOST}:{places.AWS_HTTP_PORT}",
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_REGION": "us-east-1",
        # Version 1 of the AWS CLI reads only this variable.
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOCKER_HOST": engine.host(),
        "TF_CLI_CONFIG_FILE": str(tools / "terraform.rc"),
        "SSL_CERT_FILE": str(ca.bundle()),
        "AWS_CA_BUNDLE": str(ca.bundle()),
        "PAYDEPLOY_WORKSPACE": str(workspace.folder()),
    }
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)}")
    # The caller's shell decides whether PATH already has the entry, so evaluating the output twice adds it only once.
    quoted = shlex.quote(str(tools / "bin"))
    print(f'case ":$PATH:" in *:{quoted}:*) ;; *) export PATH={quoted}:$PATH ;; esac')
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN")
    return 0


def ask(method: str, page: str, body: Any = None) -> Any:
    """Requests a page of the simulated AWS and returns its JSON."""
    data = json.dumps(body).encode() if body is not None else None
    url = f"http://{places.HOST}:{places.AWS_HTTP_PORT}/sandbox/{page}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=data, method=method), timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Failure(json.loads(error.read())["error"]) from None
    except OSError as error:
        raise Failure(f"no answer from {url} ({error}); fix: run `sandbox up`, or see `sandbox status`") from None


def faults(options: argparse.Namespace) -> int:
    if options.action == "add":
        if not options.rules:
            raise Failure(
                "`faults add` needs a rule in JSON, for example "
                + '\'{"service": "eks", "action": "CreateCluster", "settle": 60}\''
            )
        listed = ask("POST", "faults", [rule for text in options.rules for rule in _rules(text)])
    else:
        listed = ask("DELETE" if options.action == "clear" else "GET", "faults")
    print(json.dumps(listed, indent=1))
    return 0


def _rules(text: str) -> list[Any]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise Failure(f"not valid JSON: `{text}`: {error}") from None
    return parsed if isinstance(parsed, list) else [parsed]


def inventory(options: argparse.Namespace) -> int:
    resources = ask("GET", "inventory?all" if options.all else "inventory")
    if options.json:
        print(json.dumps(resources, indent=1))
        return 0
    columns = ("service", "region", "type", "id")
    for resource in resources:
        more = {key: value for key, value in resource.items() if key not in columns and value}
        print(
            f"{resource['service']:15} {resource['region']:11} {resource['type']:18} {resource['id']}",
            *(f"{k}={v}" for k, v in more.items()),
        )
    return 0


def calls(options: argparse.Namespace) -> int:
    print(json.dumps(ask("GET", f"calls?since={options.since}"), indent=1))
    return 0


def aws(options: argparse.Namespace) -> int:
    """Replaces this process, so that signals and output belong to the server itself."""
    argv = [sys.executable, "-m", "aws", "--listen", options.listen]
    os.execve(sys.executable, argv, {**os.environ, "PYTHONPATH": str(places.SANDBOX)})


def kubectl(options: argparse.Namespace) -> int:
    """Runs kubectl as the cluster's administrator, independent of the access entries in EKS."""
    kubeconfig = places.state() / options.region / "admin.kubeconfig"
    if not kubeconfig.exists():
        raise Failure(f"region `{options.region}` has no cluster; fix: deploy it, for example with `paydeploy up`")
    return subprocess.run(
        [str(places.tools() / "bin" / "kubectl"), "--kubeconfig", str(kubeconfig), *options.words]
    ).returncode


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sandbox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(function=function)
        return added

    up_parser = command("up", up, "Start the sandbox with an account that holds only a hosted zone")
    up_parser.add_argument(
        "--no-image", action="store_true", help="Leave the payment API's binary out of the workspace"
    )
    up_parser.add_argument(
        "--no-clusters",
        action="store_true",
        help="Simulate EKS: clusters become ACTIVE immediately and nothing listens on their endpoints",
    )
    command("down", down, "Stop everything and delete all state")
    command("status", status, "List the parts; the exit status tells whether all are running")
    stop_parser = command("stop", stop_part, "Stop one part, as if its machine were powered off")
    stop_parser.add_argument("part", metavar="PART", help="A name that `sandbox status` lists")
    start_parser = command("start", start_part, "Start a part that was stopped")
    start_parser.add_argument("part", metavar="PART", help="A name that `sandbox status` lists")
    break_parser = command("break", break_part, "Fail chosen requests of a registry or an API server")
    break_parser.add_argument("part", metavar="PART", choices=breaking.parts(), help=", ".join(breaking.parts()))
    break_parser.add_argument("rules", nargs="+", metavar="JSON", help="A rule, or a list of rules (see README.md)")
    repair_parser = command("repair", repair_part, "Undo `break`")
    repair_parser.add_argument("part", metavar="PART", choices=breaking.parts(), help=", ".join(breaking.parts()))
    command("env", environment, 'Print shell exports for the program under test: eval "$(sandbox env)"')
    faults_parser = command("faults", faults, "List, add or clear fault rules")
    faults_parser.add_argument("action", nargs="?", choices=("list", "add", "clear"), default="list")
    faults_parser.add_argument("rules", nargs="*", metavar="JSON", help="A rule, or a list of rules (with `add`)")
    inventory_parser = command("inventory", inventory, "List the resources created in the account since `up`")
    inventory_parser.add_argument("--json", action="store_true", help="Print JSON")
    inventory_parser.add_argument("--all", action="store_true", help="Include what the account holds from the start")
    calls_parser = command("calls", calls, "List the API calls that changed something, as JSON")
    calls_parser.add_argument("--since", type=int, default=0, metavar="N", help="Only the calls after number N")
    aws_parser = command("aws", aws, "Run only the simulated AWS, in the foreground, with nothing real behind it")
    aws_parser.add_argument(
        "--listen", default="127.0.0.1:5077", metavar="HOST:PORT", help="Address to listen on (default: %(default)s)"
    )
    kubectl_parser = command("kubectl", kubectl, "Run kubectl as the administrator of a region's cluster")
    kubectl_parser.add_argument("region", choices=[region.name for region in places.REGIONS])
    kubectl_parser.add_argument("words", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    command("help", lambda _: parser.print_help() or 0, "Print this help")
    return parser.parse_args()


def main() -> int:
    options = parse()
    # Handle SIGTERM like Ctrl-C, so that an interrupted `up` removes what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return options.function(options)
    except Failure as failure:
        print(f"sandbox: {failure}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        # Without a state folder a missing file only means that the sandbox is not up. With one it is a bug.
        if places.state().exists():
            raise
        print(f"sandbox: not up (`{error.filename}` is missing)", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
