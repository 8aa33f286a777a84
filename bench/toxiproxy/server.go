//go:build tools

// Package toxiproxy pins the version of Toxiproxy that paylab-bench builds: go build github.com/Shopify/toxiproxy/v2/cmd/server
package toxiproxy

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
