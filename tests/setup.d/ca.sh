# shellcheck shell=bash
# The sandbox's certificate authority. It is created here and not by `sandbox up`, because the add-ons' images trust
# it: a new authority would mean new images.

key_ca() { echo 1; }
outputs_ca() { printf '%s\n' "$TOOLS/ca/ca.crt" "$TOOLS/ca/ca.key"; }

install_ca() {
  local work=$TOOLS/work/ca; rm -rf "$work"; mkdir -p "$work"; chmod 700 "$work"
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
  chmod 600 "$work/ca.key"
  openssl req -x509 -new -sha256 -days 3650 -key "$work/ca.key" -out "$work/ca.crt" \
    -subj '/O=paydeploy/CN=paydeploy sandbox CA' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
  rm -rf "$TOOLS/ca"; mv "$work" "$TOOLS/ca"
}
