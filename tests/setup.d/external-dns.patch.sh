# Keeps the Route 53 provider, and the in-memory one that its tests use: the others bring a cloud's SDK each.
names='aws|awssd|inmemory'
sed -i -E \
  -e "\#\"sigs.k8s.io/external-dns/provider/[a-z0-9]+\"#{ \#/($names)\"#!d }" \
  -e "/externaldns\.Provider[A-Za-z0-9]+: +[a-z0-9]+\.New/{ / ($names)\.New/!d }" \
  provider/factory/provider.go
