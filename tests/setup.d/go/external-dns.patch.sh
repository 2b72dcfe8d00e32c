# Keeps the Route 53 provider, and the in-memory one that its tests use: each of the others brings a cloud's SDK.
providers='aws|awssd|inmemory'
sed -i -E \
  -e "\#\"sigs.k8s.io/external-dns/provider/[a-z0-9]+\"#{ \#/($providers)\"#!d }" \
  -e "/externaldns\.Provider[A-Za-z0-9]+: +[a-z0-9]+\.New/{ / ($providers)\.New/!d }" \
  provider/factory/provider.go
