#!/usr/bin/env python3
"""The sandbox: two AWS regions, their Kubernetes clusters, registries and databases, and a Git repository, on this machine.

Exit status: 0 done, or up; 1 failed, or broken; 2 wrong use; 3 not up.
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
    verdict, lines = state.look()
    print("\n".join(lines))
    return verdict


def stop_part(options: argparse.Namespace) -> int:
    processes.stop([processes.named(options.part)])
    return 0


def start_part(options: argparse.Namespace) -> int:
    processes.start_again(processes.named(options.part))
    return 0


def environment(_: argparse.Namespace) -> int:
    credentials = json.loads((places.state() / "aws" / "credentials.json").read_text())
    tools = places.tools()
    exports = {
        "AWS_ENDPOINT_URL": f"http://{places.HOST}:{places.AWS_HTTP_PORT}",
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_REGION": "us-east-1",
        # the AWS CLI's first version reads this one only
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
    # what the caller has is asked of their shell, so that evaluating this twice adds nothing
    quoted = shlex.quote(str(tools / "bin"))
    print(f'case ":$PATH:" in *:{quoted}:*) ;; *) export PATH={quoted}:$PATH ;; esac')
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN")
    return 0


def ask(method: str, page: str, body: Any = None) -> Any:
    """Asks a page of the AWS stand-in."""
    data = json.dumps(body).encode() if body is not None else None
    url = f"http://{places.HOST}:{places.AWS_HTTP_PORT}/sandbox/{page}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=data, method=method), timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Failure(json.loads(error.read())["error"]) from None
    except OSError as error:
        raise Failure(f"nothing answers at {url} ({error}): is the sandbox up?") from None


def faults(options: argparse.Namespace) -> int:
    if options.action == "add":
        if not options.rules:
            raise Failure(
                "`faults add` needs a rule in JSON, for instance "
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
        raise Failure(f"`{text}` is no JSON: {error}") from None
    return parsed if isinstance(parsed, list) else [parsed]


def inventory(options: argparse.Namespace) -> int:
    things = ask("GET", "inventory?all" if options.all else "inventory")
    if options.json:
        print(json.dumps(things, indent=1))
        return 0
    for thing in things:
        more = {key: value for key, value in thing.items() if key not in ("service", "region", "type", "id") and value}
        print(
            f"{thing['service']:15} {thing['region']:11} {thing['type']:18} {thing['id']}",
            *(f"{k}={v}" for k, v in more.items()),
        )
    return 0


def calls(options: argparse.Namespace) -> int:
    print(json.dumps(ask("GET", f"calls?since={options.since}"), indent=1))
    return 0


def aws(options: argparse.Namespace) -> int:
    """In place of this process, so that signals and output are its own."""
    argv = [sys.executable, "-m", "aws", "--listen", options.listen]
    os.execve(sys.executable, argv, {**os.environ, "PYTHONPATH": str(places.SANDBOX)})


def kubectl(options: argparse.Namespace) -> int:
    """kubectl as the administrator of a region's cluster, whatever EKS thinks of it."""
    kubeconfig = places.state() / options.region / "admin.kubeconfig"
    if not kubeconfig.exists():
        raise Failure(f"region `{options.region}` has no cluster now")
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

    started = command("up", up, "start everything; an account without anything in it but a hosted zone")
    started.add_argument(
        "--no-image", action="store_true", help="go on without the payment API's binary in the workspace"
    )
    started.add_argument(
        "--no-clusters", action="store_true", help="EKS clusters are simulated: active at once, nothing answers there"
    )
    command("down", down, "end everything and leave nothing")
    command("status", status, "say what runs; the exit status says whether all does")
    command("stop", stop_part, "end one part, as if its machine were off").add_argument("part")
    command("start", start_part, "start a part again that was stopped").add_argument("part")
    command("env", environment, 'print exports for the program under test: eval "$(sandbox env)"')
    faulty = command("faults", faults, "list, add or clear fault rules")
    faulty.add_argument("action", nargs="?", choices=("list", "add", "clear"), default="list")
    faulty.add_argument("rules", nargs="*", metavar="JSON")
    listing = command("inventory", inventory, "list all that exists in the account since `up`")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--all", action="store_true", help="with what the account was given")
    called = command("calls", calls, "list the calls that changed something")
    called.add_argument("--since", type=int, default=0, metavar="N", help="only those after the Nth")
    alone = command("aws", aws, "run the AWS stand-in alone, in the foreground, with nothing real behind it")
    alone.add_argument("--listen", default="127.0.0.1:5077", metavar="HOST:PORT")
    inside = command("kubectl", kubectl, "run kubectl as a region's administrator")
    inside.add_argument("region", choices=[region.name for region in places.REGIONS])
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    command("help", lambda _: parser.print_help() or 0, "show this")
    return parser.parse_args()


def main() -> int:
    options = parse()
    # ends like an interrupt: what was begun is taken down
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return options.function(options)
    except Failure as failure:
        print(f"sandbox: {failure}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        if places.state().exists():
            raise
        print(f"sandbox: not up (`{error.filename}` is missing)", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
