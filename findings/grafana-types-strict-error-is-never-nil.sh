#!/bin/bash
# UnmarshalJSONStrict of Grafana's Go types returns an error that is not nil also for a dashboard that is right.
#
# Guess: a method that returns an `error` returns nil when it has found nothing wrong, as `Validate` of the same types does.
# Versions: Go 1.24 and later; github.com/grafana/grafana-foundation-sdk/go v0.0.22 (2026).
# Behaviour: it returns its list of errors as it is. An empty list in an interface is not nil: `err != nil` is true, and its
#   text is empty. Whether something was found is told by that text, or by the length of the list.
# Output seen:
#   right: err != nil is true, its text is ""
#   wrong: err != nil is true, its text has "unexpected field 'titel'"
#   validate: err != nil is false
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'CODE'
module example.com/try

go 1.24
CODE
cat > main.go <<'CODE'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const right = `{"title": "a", "schemaVersion": 39, "templating": {}, "annotations": {}}`
const wrong = `{"titel": "a", "schemaVersion": 39, "templating": {}, "annotations": {}}`

func main() {
	var one, other dashboard.Dashboard
	err := one.UnmarshalJSONStrict([]byte(right))
	isDescribed := err != nil && err.Error() == ""
	fmt.Printf("right: err != nil is %v, its text is %q\n", err != nil, fmt.Sprint(err))
	err = other.UnmarshalJSONStrict([]byte(wrong))
	isDescribed = isDescribed && err != nil && strings.Contains(err.Error(), "unexpected field 'titel'")
	fmt.Printf("wrong: err != nil is %v, its text has %q\n", err != nil, strings.TrimPrefix(fmt.Sprint(err), "Dashboard: "))
	err = one.Validate()
	fmt.Printf("validate: err != nil is %v\n", err != nil)
	if !isDescribed || err != nil {
		os.Exit(1)
	}
}
CODE
export GOFLAGS=-mod=mod
go get github.com/grafana/grafana-foundation-sdk/go@v0.0.22 2> get.log || { cat get.log >&2; exit 1; }
go run .
