#!/usr/bin/env bash
# weft at work: see the help below, and scripts/demo.ts for how.
set -euo pipefail
cd "$(dirname "$0")/.."

for argument in "$@"; do
  case $argument in
  -h | --help)
    cat <<'HELP'
npm run demo [-- options]

Builds hosts as network namespaces on one underlay switch, with a real etcd, a weftd on every host and a pod behind a
bridge on each; pings every pair of pods, measures TCP between two, shows `weft status`, and takes everything down
again. Needs root; touches nothing outside its own namespaces. Exit code 0 only if every check passed.

  --backend udp|vxlan   the format on the wire (default: vxlan)
  --hosts N             how many hosts, 2 to 20 (default: 3)
  --keep                leave everything up, print what to try and how to take it down
HELP
    exit 0
    ;;
  esac
done

bash scripts/setup.sh
exec node dist/scripts/demo.js "$@"
