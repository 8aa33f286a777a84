// Says which health Argo CD gives to a resource, with Argo CD's own code: its reading of the ConfigMap argocd-cm from a cluster, and its Lua.
//
// Usage: argocd-health NAMESPACE <RESOURCE.json
//
// NAMESPACE is where argocd-cm is, in the cluster that KUBECONFIG names. Prints the health and its message, or nothing where Argo CD knows no
// health for such a resource, so that it does not count.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: argocd-health NAMESPACE <RESOURCE.json"))
	}
	logrus.SetOutput(io.Discard)
	var resource unstructured.Unstructured
	if err := json.NewDecoder(os.Stdin).Decode(&resource.Object); err != nil {
		fail(err)
	}
	found, err := healthOf(context.Background(), os.Args[1], &resource)
	if err != nil {
		fail(err)
	}
	if found != nil {
		fmt.Printf("%s: %s\n", found.Status, found.Message)
	}
}

// The same calls as those of Argo CD's application controller.
func healthOf(ctx context.Context, namespace string, resource *unstructured.Unstructured) (*health.HealthStatus, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	overrides, err := settings.NewSettingsManager(ctx, client, namespace).GetResourceOverrides()
	if err != nil {
		return nil, err
	}
	return health.GetResourceHealth(resource, lua.ResourceHealthOverrides(overrides))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
