package metrics_test

import (
	"context"
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/metrics"
	"github.com/aristochat/aristochat/edge/presence"
)

// A server that others scrape, on a port that clients do not reach.
func ExampleNew() {
	link, err := backbone.Connect(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	srv, err := edge.New(link, nil)
	if err != nil {
		log.Fatal(err)
	}
	who := presence.New(srv, nil) // nil does for New if there is none
	prometheus.MustRegister(metrics.New(srv, who))

	http.Handle("/socket/", srv)
	admin := http.NewServeMux()
	admin.Handle("/metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:9464", admin)) }()
	log.Fatal(http.ListenAndServe(":4000", nil))
}
