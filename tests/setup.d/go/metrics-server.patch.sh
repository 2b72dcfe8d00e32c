# From 0.35 on, Kubernetes' libraries look schemas up by their OpenAPI name (io.k8s.api.core.v1.Pod), no longer by
# their Go name (k8s.io/api/core/v1.Pod), which this generated file has. An import has no type after its path.
python3 - pkg/api/generated/openapi/zz_generated.openapi.go <<'PY'
import re, sys
file = sys.argv[1]
text = open(file).read()
def openapi_name(match):
    return '"io.k8s.' + match[1].replace("/", ".") + '"'
open(file, "w").write(re.sub(r'"k8s\.io/([^"\s]+\.[A-Z]\w*)"', openapi_name, text))
PY
