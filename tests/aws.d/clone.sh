# Sourced by tests/aws: the clone that it works on, with the user's account in its configuration.

# name, AWS region, role and domain of each region, as it will be configured
regions() {
  awk -F ' *= *' -v zone="$zone" '
    /^\[/ { name = ""; if (match($0, /^\[regions\.[^]]+\]/)) { name = substr($0, 10, RLENGTH - 10) } }
    { gsub(/"/, "", $2) }
    name && $1 == "aws_region" { region[name] = $2 }
    name && $1 == "role" { role[name] = $2 }
    name && $1 == "domain" { sub(/\..*/, "", $2); domain[name] = $2 "." zone }
    END { for (name in region) print name, region[name], role[name], domain[name] }
  ' "$checkout/paydeploy.toml" | sort
}

make_or_renew_clone() {
  if [ -e "$folder/begun" ] && [ "$(cat "$folder/begun")" != "$settings" ]; then
    echo "tests/aws: a journey on account $account is under way with other settings: $(cat "$folder/begun")" >&2
    echo "  fix: go on with those, or take it down (cd $work && $paydeploy down) and remove $folder" >&2
    exit 2
  fi
  [ -z "$(git status --porcelain)" ] || echo "note: only what is committed is deployed, and there are changes that are not"
  if [ -e "$folder/begun" ]; then
    say "The journey that was begun goes on"
    # what was mended since comes along, as a commit after the released one
    as_author fetch --quiet "$checkout" HEAD
    as_author merge --quiet --message "Bring what was mended" FETCH_HEAD
  else
    say "A clone of the checkout, for account $account and zone $zone"
    rm -rf -- "$folder"
    mkdir -p "$folder"
    git clone --quiet --no-tags "$checkout" "$work"
    git -C "$work" checkout --quiet -B "$branch"
    configure
  fi
  # forced: a branch of an earlier journey is of no use to anybody
  git -C "$work" push --quiet --force "$repository" "HEAD:refs/heads/$branch"
}

configure() {
  local config=$work/paydeploy.toml credentials='' list block files
  [ -z "$git_secret" ] || credentials="\\ncredentials = \"$git_secret\""
  sed -i -E \
    -e "s|^account = .*|account = \"$account\"|" \
    -e 's|^profile = .*|profile = "staging"|' \
    -e "/^\[gitops\]/,/^\[/{ /^credentials = /d; s|^repository = .*|repository = \"$repository\"$credentials| }" \
    -e "s|^domain = \"([^.\"]+)\..*|domain = \"\1.$zone\"|" "$config"

  list=$(for block in $addresses; do printf '"%s", ' "$block"; done)
  mapfile -t files < <(sed -n -E "s|^var_file = \"(.*)\"|$work/\1|p" "$config")
  sed -i -E \
    -e "s|^hosted_zone_name *=.*|hosted_zone_name = \"$zone\"|" \
    -e "s|^cluster_endpoint_public_access_cidrs *=.*|cluster_endpoint_public_access_cidrs = [${list%, }]|" "${files[@]}"

  as_author commit --quiet --all --allow-empty --message "Deploy to account $account"
}

# the commits are the journey's, whoever plays it
as_author() { git -C "$work" -c user.name=tests/aws -c user.email=tests-aws@payments.example "$@"; }
