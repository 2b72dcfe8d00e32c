# filepath-securejoin 0.5 moved this function to a package of its own, and Helm needs a later version than Argo CD.
sed -i -e 's#securejoin\.MkdirAll(#pathrs.MkdirAll(#' \
  -e '\#"github.com/cyphar/filepath-securejoin"#a\	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"' \
  util/io/files/secure_mkdir_linux.go
