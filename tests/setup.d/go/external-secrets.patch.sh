# Keeps the AWS provider and those without dependencies: with all 38 the build takes three times as long,
# and every node would pull twice the image for code that the sandbox cannot reach.
keep() {
  local file=$1 names=$2
  sed -i -E "\#_ \"github.com/external-secrets/.*\"#{ \#/($names)\"#!d }" "$file"
}
keep pkg/provider/register/register.go 'aws|fake|kubernetes|webhook'
keep pkg/generator/register/register.go 'ecr|fake|password|sshkey|sts|uuid|webhook'
# From 0.23 on, controller-runtime takes a webhook's type with its constructor; External DNS needs 0.23.
grep -rlF 'ctrl.NewWebhookManagedBy(mgr).' apis | xargs sed -i -E -z \
  -e 's#ctrl\.NewWebhookManagedBy\(mgr\)\.\s*For\(([^)]*)\)\.#ctrl.NewWebhookManagedBy(mgr, \1).#g' \
  -e 's#\.WithValidator\(#.WithCustomValidator(#g; s#\sWithValidator\(#\tWithCustomValidator(#g'
