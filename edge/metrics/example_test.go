package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/metrics"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/embedded"
)

// An edge in a program of your own, in the registry that the program has.
func ExampleNew() {
	nats, err := embedded.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer nats.Shutdown()
	link, err := backbone.Connect(context.Background(), &backbone.Options{Server: nats})
	if err != nil {
		log.Fatal(err)
	}
	defer link.Close(context.Background())
	srv, err := edge.New(link, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	who := presence.New(srv, nil) // without presence, give nil in its place

	prometheus.MustRegister(metrics.New(srv, who))
	admin := httptest.NewServer(promhttp.Handler()) // where clients do not reach it
	defer admin.Close()

	resp, err := http.Get(admin.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if strings.HasPrefix(s.Text(), "aristochat_sockets{") {
			fmt.Println(s.Text())
		}
	}
	// Output:
	// aristochat_sockets{transport="longpoll"} 0
	// aristochat_sockets{transport="websocket"} 0
}
