# Kubernetes replaces its staging modules by folders that its module archive leaves out; the same code is
# published as v0.MINOR.PATCH beside each release v1.MINOR.PATCH.
version=v0.${1#v1.}
go mod edit -json | VERSION=$version python3 -c '
import json, os, sys
for replace in json.load(sys.stdin)["Replace"]:
    old, new = replace["Old"]["Path"], replace["New"]["Path"]
    if new.startswith("./staging/"):
        print("-replace=%s=%s@%s" % (old, old, os.environ["VERSION"]))' >edits
mapfile -t edits <edits
go mod edit "${edits[@]}"
cat "$(dirname "${BASH_SOURCE[0]}")/go.sum" >>go.sum
