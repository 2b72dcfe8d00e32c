# Sourced by tests/aws: the clone that the journey deploys from, configured for the user's account.

# Prints the name, AWS region, role and domain of each region, as they will be configured.
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

create_or_update_clone() {
  if [ -e "$folder/started" ] && [ "$(cat "$folder/started")" != "$settings" ]; then
    echo "tests/aws: a journey on account $account has been started with other settings: $(cat "$folder/started")" >&2
    echo "  fix: continue with those, or delete its resources (cd $work && $paydeploy down) and then $folder" >&2
    exit 2
  fi
  [ -z "$(git status --porcelain)" ] || echo "note: uncommitted changes are not deployed"
  if [ -e "$folder/started" ]; then
    say "Continuing the started journey"
    # Fixes since then come along, as a commit after the released one.
    as_author fetch --quiet "$checkout" HEAD
    as_author merge --quiet --message "Merge fixes from the checkout" FETCH_HEAD
  else
    say "A clone of the checkout, for account $account and zone $zone"
    rm -rf -- "$folder"
    mkdir -p "$folder"
    git clone --quiet --no-tags "$checkout" "$work"
    git -C "$work" checkout --quiet -B "$branch"
    configure
  fi
  # Forced: the branch may still exist from an earlier journey, with other history.
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

# The commits are the journey's own, so they do not need the user's Git identity.
as_author() { git -C "$work" -c user.name=tests/aws -c user.email=tests-aws@payments.example "$@"; }
