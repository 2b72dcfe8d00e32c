# Keeps the plugins that tests/sandbox/manifests/coredns.yaml uses. The others bring three clouds' SDKs and etcd.
plugins='cache|errors|health|kubernetes|loadbalance|ready|reload|template'
sed -i -E "\#_ \"github.com/coredns/(coredns/plugin|caddy)/#{ \#/($plugins)\"#!d }" core/plugin/zplugin.go
