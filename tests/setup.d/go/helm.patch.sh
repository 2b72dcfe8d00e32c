# Helm is written for newer Kubernetes libraries, in which this function has another name.
sed -i -e 's#"k8s.io/apimachinery/pkg/api/validate/content"#content "k8s.io/apimachinery/pkg/api/validation/path"#' \
  -e 's#content\.IsPathSegmentName#content.IsValidPathSegmentName#' \
  pkg/chart/v2/lint/rules/template.go internal/chart/v3/lint/rules/template.go
