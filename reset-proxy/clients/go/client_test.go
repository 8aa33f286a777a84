// Package clients tests the reset proxy with Toxiproxy's own Go client.
package clients

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

// timeout bounds every wait.
const timeout = 20 * time.Second

func client() *toxiproxy.Client {
	return toxiproxy.NewClient(os.Getenv("PAYLAB_API"))
}

// echo sends back what it receives until the test ends. It returns its address.
func echo(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				io.Copy(connection, connection)
			}()
		}
	}()
	return listener.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// talk sends a word through the proxy and returns the reply and the time it took.
func talk(t *testing.T, address string) (string, time.Duration, error) {
	t.Helper()
	began := time.Now()
	connection, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return "", 0, err
	}
	defer connection.Close()
	must(t, connection.SetDeadline(began.Add(timeout)))
	_, err = connection.Write([]byte("ping"))
	must(t, err)
	word := make([]byte, 4)
	count, err := io.ReadFull(connection, word)
	return string(word[:count]), time.Since(began), err
}

func passes(t *testing.T, address string) time.Duration {
	t.Helper()
	word, took, err := talk(t, address)
	if word != "ping" || err != nil {
		t.Fatalf("%q %v", word, err)
	}
	return took
}

func created(t *testing.T, name string) *toxiproxy.Proxy {
	t.Helper()
	proxy, err := client().CreateProxy(name, "127.0.0.1:0", echo(t))
	must(t, err)
	t.Cleanup(func() { proxy.Delete() })
	return proxy
}

func TestAProxyIsCreatedUsedAndDeleted(t *testing.T) {
	proxy := created(t, "go")
	passes(t, proxy.Listen)
	if _, err := client().CreateProxy("go", "", "127.0.0.1:1"); err == nil || err.Error() != "Create: HTTP 409: proxy already exists" {
		t.Fatal(err)
	}
	all, err := client().Proxies()
	must(t, err)
	if all["go"] == nil || all["go"].Listen != proxy.Listen || !all["go"].Enabled {
		t.Fatalf("%+v", all)
	}
	must(t, proxy.Disable())
	if _, _, err := talk(t, proxy.Listen); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	must(t, proxy.Enable())
	passes(t, proxy.Listen)
	must(t, proxy.Delete())
	if _, err := client().Proxy("go"); err == nil || err.Error() != "Proxy: HTTP 404: proxy not found" {
		t.Fatal(err)
	}
}

func TestAToxicIsAddedUsedAndRemoved(t *testing.T) {
	proxy := created(t, "go toxic")
	proxy, err := client().Proxy("go%20toxic")
	must(t, err)
	proxy.Name = "go%20toxic" // This client does not encode names in paths.
	toxic, err := proxy.AddToxic("", "latency", "upstream", 1, toxiproxy.Attributes{"latency": 300})
	must(t, err)
	if toxic.Name != "latency_upstream" || toxic.Attributes["jitter"] != 0.0 || toxic.Toxicity != 1 {
		t.Fatalf("%+v", toxic)
	}
	if took := passes(t, proxy.Listen); took < 300*time.Millisecond {
		t.Fatal(took)
	}
	toxic, err = proxy.UpdateToxic("latency_upstream", -1, toxiproxy.Attributes{"latency": 1, "jitter": 1})
	must(t, err)
	if toxic.Attributes["latency"] != 1.0 || toxic.Attributes["jitter"] != 1.0 || toxic.Toxicity != 1 {
		t.Fatalf("%+v", toxic)
	}
	passes(t, proxy.Listen)
	must(t, proxy.RemoveToxic("latency_upstream"))
	_, err = proxy.AddToxic("reset", "reset_peer", "downstream", 1, nil)
	must(t, err)
	if word, _, err := talk(t, proxy.Listen); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%q %v", word, err)
	}
	toxics, err := proxy.Toxics()
	must(t, err)
	if len(toxics) != 1 || toxics[0].Type != "reset_peer" || toxics[0].Stream != "downstream" {
		t.Fatalf("%+v", toxics)
	}
	if _, err = proxy.AddToxic("", "virus", "", 1, nil); err == nil || err.Error() != "AddToxic: HTTP 400: invalid toxic type" {
		t.Fatal(err)
	}
	must(t, proxy.RemoveToxic("reset"))
	passes(t, proxy.Listen)
}

func TestManyProxiesAreCreatedAtOnceAndReset(t *testing.T) {
	upstream := echo(t)
	proxies, err := client().Populate([]toxiproxy.Proxy{
		{Name: "go/one", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true},
		{Name: "go/two", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: false},
	})
	must(t, err)
	one, two := proxies[0], proxies[1]
	t.Cleanup(func() { one.Delete(); two.Delete() })
	passes(t, one.Listen)
	_, err = client().AddToxic(&toxiproxy.ToxicOptions{
		ProxyName: "go/one", ToxicType: "timeout", Stream: "downstream", Toxicity: 1,
		Attributes: toxiproxy.Attributes{"timeout": 50},
	})
	must(t, err)
	if word, _, err := talk(t, one.Listen); !errors.Is(err, io.EOF) {
		t.Fatalf("%q %v", word, err)
	}
	must(t, client().ResetState())
	passes(t, one.Listen)
	two, err = client().Proxy("go/two")
	must(t, err)
	passes(t, two.Listen)
	if _, err = client().Populate([]toxiproxy.Proxy{{Name: "go/three"}}); err == nil ||
		err.Error() != "Populate: HTTP 400: missing required field: upstream at proxy 1" {
		t.Fatal(err)
	}
}
