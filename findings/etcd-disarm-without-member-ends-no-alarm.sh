#!/bin/bash
# etcd answers a request to disarm an alarm without a member with success, and disarms none.
#
# Guess: its API says of the field memberID of an AlarmRequest that 0 means all members, so DEACTIVATE without it ends the
#   alarm of every member.
# Versions: etcd 3.6.5 (Linux; November 2026), by its JSON gateway.
# Behaviour: the answer is 200 with an empty list of alarms, as for one that had nothing to do, and the alarm stays on. With
#   the ID of the member the same request ends it. `GET` without a member does list those of all members.
# Output seen:
#   raised: NOSPACE; disarmed without a member: 200, left: NOSPACE; disarmed with it: 200, left: none
# Exit code: 0 when it is as described, 1 when it changed. Needs Go; building takes some minutes.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${etcd:-}" 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'CODE'
module finding

go 1.25.0

require go.etcd.io/etcd/server/v3 v3.6.5
CODE
cat > main.go <<'CODE'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
CODE
go mod tidy 2> /dev/null
CGO_ENABLED=0 go build -o etcd .
client=http://127.0.0.1:23790 peer=http://127.0.0.1:23800
./etcd --log-level fatal --listen-client-urls $client --advertise-client-urls $client --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer 2> /dev/null &
etcd=$!
alarm() { curl --silent --fail --data "$1" $client/v3/maintenance/alarm; }
until alarm '{"action":"GET"}' > member.json 2> /dev/null; do sleep 0.1; done
member=$(grep -o '"member_id":"[0-9]*"' member.json | grep -o '[0-9]*')
left() { alarm '{"action":"GET"}' | grep -o NOSPACE || echo none; }
alarm "{\"action\":\"ACTIVATE\",\"memberID\":\"$member\",\"alarm\":\"NOSPACE\"}" > /dev/null
raised=$(left)
alarm '{"action":"DEACTIVATE","alarm":"NOSPACE"}' > /dev/null
without=$(left)
alarm "{\"action\":\"DEACTIVATE\",\"memberID\":\"$member\",\"alarm\":\"NOSPACE\"}" > /dev/null
with=$(left)
echo "raised: $raised; disarmed without a member: 200, left: $without; disarmed with it: 200, left: $with"
[ "$raised $without $with" = 'NOSPACE NOSPACE none' ]
