.PHONY: help test charts e2e kind-demo kind-demo-down

help: ## What there is to make
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

test: ## Test everything that needs no cluster
	cargo test

charts: ## Check the chart: lint, render, compare (needs helm)
	charts/check

e2e: ## Test on a real node, made for the purpose (needs root)
	cargo test --package paylab-e2e

kind-demo: ## From nothing to a verdict on a kind cluster (needs kind, Docker, helm, kubectl)
	demo/kind create build load install try

kind-demo-down: ## Remove that cluster
	demo/kind remove
