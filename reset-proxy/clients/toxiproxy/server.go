// Package toxiproxy stands in for Toxiproxy's own package of this name, so that Toxiproxy's own tests can be run against another server:
// it has what the tests call of the server, and carries it out through the API. Everything else that the tests use is Toxiproxy's.
package toxiproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	api "github.com/Shopify/toxiproxy/v2/client"
	"github.com/Shopify/toxiproxy/v2/collectors"
)

// Version is what the server responds to /version, in the form of newer releases; v2.5.0 responds in plain text.
const Version = "{\"version\": \"2.5.0\"}\n"

// ErrProxyAlreadyStarted is the error of a proxy that is started twice.
var ErrProxyAlreadyStarted = errors.New("Proxy already started")

// client uses the server under test.
var client = api.NewClient(os.Getenv("PAYLAB_API"))

// scopes counts what has proxies of its own: a collection, or a proxy outside any collection.
var scopes atomic.Int64

// scope begins names that no other test uses.
func scope() string {
	return fmt.Sprintf("scope-%d-%d-", os.Getpid(), scopes.Add(1))
}

// MetricsContainer is needed by the tests to make servers.
type MetricsContainer struct {
	ProxyMetrics *collectors.ProxyMetricCollectors
}

func NewMetricsContainer(*prometheus.Registry) *MetricsContainer {
	return &MetricsContainer{}
}

// ApiServer is the server under test, which runs already.
type ApiServer struct {
	Collection *ProxyCollection
	Metrics    *MetricsContainer
}

func NewServer(metrics *MetricsContainer, _ zerolog.Logger) *ApiServer {
	return &ApiServer{Collection: &ProxyCollection{}, Metrics: metrics}
}

// Listen does nothing: the server listens already.
func (server *ApiServer) Listen(host, port string) error {
	return nil
}

// Proxy is a proxy of the server under test. It is created there when it is first started.
type Proxy struct {
	Name     string
	Listen   string
	Upstream string
	Enabled  bool
	Toxics   *ToxicCollection
	remote   *api.Proxy
}

func NewProxy(_ *ApiServer, name, listen, upstream string) *Proxy {
	proxy := &Proxy{Name: name, Listen: listen, Upstream: upstream}
	proxy.Toxics = &ToxicCollection{proxy}
	return proxy
}

func (proxy *Proxy) Start() error {
	if proxy.Enabled {
		return ErrProxyAlreadyStarted
	}
	return proxy.Update(&Proxy{Listen: proxy.Listen, Upstream: proxy.Upstream, Enabled: true})
}

func (proxy *Proxy) Stop() {
	if proxy.Enabled {
		proxy.Update(&Proxy{Listen: proxy.Listen, Upstream: proxy.Upstream})
	}
}

// Update gives the proxy the addresses and the state of another.
func (proxy *Proxy) Update(input *Proxy) error {
	if proxy.remote == nil {
		proxy.remote = client.NewProxy()
		proxy.remote.Name = scope() + proxy.Name
	}
	proxy.remote.Listen, proxy.remote.Upstream, proxy.remote.Enabled = input.Listen, input.Upstream, input.Enabled
	if err := proxy.remote.Save(); err != nil {
		return err
	}
	proxy.Listen, proxy.Upstream, proxy.Enabled = proxy.remote.Listen, proxy.remote.Upstream, proxy.remote.Enabled
	return nil
}

// ToxicCollection has the toxics of a proxy.
type ToxicCollection struct {
	proxy *Proxy
}

func (toxics *ToxicCollection) AddToxicJson(data io.Reader) (*api.Toxic, error) {
	toxic := api.Toxic{Toxicity: 1}
	if err := json.NewDecoder(data).Decode(&toxic); err != nil {
		return nil, err
	}
	return toxics.proxy.remote.AddToxic(toxic.Name, toxic.Type, toxic.Stream, toxic.Toxicity, toxic.Attributes)
}

func (toxics *ToxicCollection) RemoveToxic(_ context.Context, name string) error {
	return toxics.proxy.remote.RemoveToxic(name)
}

func (toxics *ToxicCollection) ResetToxics(context.Context) {
	all, _ := toxics.proxy.remote.Toxics()
	for _, toxic := range all {
		toxics.proxy.remote.RemoveToxic(toxic.Name)
	}
}

// ProxyCollection has the proxies of the server whose names begin alike. The collection of the server itself has all.
type ProxyCollection struct {
	prefix string
}

func NewProxyCollection() *ProxyCollection {
	return &ProxyCollection{scope()}
}

func (collection *ProxyCollection) Add(proxy *Proxy, start bool) error {
	remote := client.NewProxy()
	remote.Name, remote.Listen, remote.Upstream = collection.prefix+proxy.Name, proxy.Listen, proxy.Upstream
	remote.Enabled = start
	return remote.Save()
}

func (collection *ProxyCollection) Get(name string) (*api.Proxy, error) {
	return client.Proxy(collection.prefix + name)
}

func (collection *ProxyCollection) Remove(name string) error {
	proxy, err := collection.Get(name)
	if err != nil {
		return err
	}
	return proxy.Delete()
}

func (collection *ProxyCollection) Proxies() map[string]*Proxy {
	all, _ := client.Proxies()
	proxies := map[string]*Proxy{}
	for name, proxy := range all {
		if strings.HasPrefix(name, collection.prefix) {
			name = strings.TrimPrefix(name, collection.prefix)
			proxies[name] = &Proxy{Name: name, Listen: proxy.Listen, Upstream: proxy.Upstream, Enabled: proxy.Enabled}
		}
	}
	return proxies
}

func (collection *ProxyCollection) Clear() error {
	for name := range collection.Proxies() {
		if err := collection.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
