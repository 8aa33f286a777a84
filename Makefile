.PHONY: help test charts e2e kind-demo kind-demo-down

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

test: ## Run the tests that need no cluster
	cargo test

charts: ## Check the chart: lint, render, compare (needs helm)
	charts/check

e2e: ## Run the tests of operator and chart on a Kubernetes node that they start (needs root)
	cargo test --package paylab-e2e

kind-demo: ## Create a kind cluster, install Paylab and run a lesson (needs kind, Docker, helm, kubectl)
	demo/kind create build load install try

kind-demo-down: ## Remove the cluster of kind-demo
	demo/kind remove
