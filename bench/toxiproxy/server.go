//go:build tools

// Package toxiproxy says which Toxiproxy the bench builds: go build github.com/Shopify/toxiproxy/v2/cmd/server
package toxiproxy

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
