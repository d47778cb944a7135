package metrics_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/metrics"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
)

const patience = 20 * time.Second

// A scene is an edge with history on a NATS of its own, and its registry.
type scene struct {
	t    *testing.T
	nats *embedded.Server
	http *httptest.Server
	reg  *prometheus.Registry
}

func newScene(t *testing.T) *scene {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	link, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close(context.Background()) })
	store, err := link.Store(t.Context(), &backbone.StoreOptions{Apply: true})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := edge.New(store, &edge.Options{Connect: rooms.Connect, Logger: quiet, MaxMessage: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		srv.Shutdown(ctx)
	})
	who := rooms.Serve(srv, &rooms.Options{Presence: &presence.Options{MaxMetas: 1}})
	hs := httptest.NewServer(srv)
	t.Cleanup(hs.Close)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(metrics.New(srv, who))
	return &scene{t, ns, hs, reg}
}

// value returns a sample: of a histogram, its count. Labels are name=value.
func (s *scene) value(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "aristochat_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	s.t.Fatalf("there is no aristochat_%s%v", name, labels)
	return 0
}

func hasLabels(m *dto.Metric, want []string) bool {
	n := 0
	for _, l := range m.GetLabel() {
		for _, w := range want {
			if w == l.GetName()+"="+l.GetValue() {
				n++
			}
		}
	}
	return n == len(want)
}

// await waits until a sample is at least so much.
func (s *scene) await(least float64, name string, labels ...string) {
	s.t.Helper()
	end := time.Now().Add(patience)
	for s.value(name, labels...) < least {
		if time.Now().After(end) {
			s.t.Fatalf("aristochat_%s%v = %g, want %g", name, labels, s.value(name, labels...), least)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *scene) dial(query string) *client {
	s.t.Helper()
	ws, resp, err := websocket.Dial(s.t.Context(), s.http.URL+"/socket/websocket?vsn=2.0.0&"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	s.t.Cleanup(func() { ws.CloseNow() })
	return &client{s.t, ws}
}

type client struct {
	t  *testing.T
	ws *websocket.Conn
}

// ask sends a frame and reads until one comes that contains want.
func (c *client) ask(frame, want string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
	for {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			c.t.Fatalf("%v, want %s", err, want)
		}
		if strings.Contains(string(b), want) {
			return
		}
	}
}

func TestConventions(t *testing.T) {
	s := newScene(t)
	problems, err := testutil.GatherAndLint(s.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What happens is counted, each in its place.
func TestCounts(t *testing.T) {
	s := newScene(t)
	ann, bob := s.dial("username=ann"), s.dial("username=bob")
	ann.ask(`["1","1","rooms:a","phx_join",{}]`, `"status":"ok"`)
	bob.ask(`["1","1","rooms:a","phx_join",{"history":5}]`, `"status":"ok"`)
	ann.ask(`["1","2","rooms:a","chat_msg",{"body":"hi","client_id":"x"}]`, `"seq":`)
	ann.ask(`["1","3","rooms:a","chat_msg",{"body":"hi","client_id":"x"}]`, `"3","rooms:a","phx_reply"`)
	ann.ask(`["1","4","rooms:a","history",{}]`, `"4","rooms:a","phx_reply"`)
	ann.ask(`[null,"5","nowhere","phx_join",{}]`, `unmatched`)
	ann.ask(`["6","6","rooms:b","phx_join",{"since":1,"epoch":"of another store"}]`, `epoch changed`)
	ann.ask(`["7","7","rooms:b","phx_join",{"history":"many"}]`, `"status":"error"`)

	s.await(1, "outgoing_wait_seconds")
	for _, want := range []struct {
		least  float64
		name   string
		labels []string
	}{
		{2, "sockets", []string{"transport=websocket"}},
		{2, "handshakes_total", []string{"result=ok"}},
		{3, "joins_total", []string{"result=ok"}},
		{1, "joins_total", []string{"result=unmatched"}},
		{1, "joins_total", []string{"result=refused"}},
		{8, "messages_received_total", nil},
		{8, "messages_sent_total", nil},
		{100, "received_bytes_total", nil},
		{100, "sent_bytes_total", nil},
		{1, "rooms", nil},
		{1, "history_requests_total", []string{"kind=join"}},
		{1, "history_requests_total", []string{"kind=resume"}},
		{1, "history_requests_total", []string{"kind=scroll"}},
		{1, "resumes_total", []string{"recovered=false", "reason=epoch_changed"}},
		{1, "delivery_seconds", nil},
		{1, "fanout_seconds", nil},
		{2, "jetstream_publish_seconds", nil},
		{1, "jetstream_appends_total", []string{"result=ok"}},
		{1, "jetstream_appends_total", []string{"result=duplicate"}},
		{1, "store_delivered_total", nil},
		{1, "nats_connected", []string{"connection=live"}},
		{1, "nats_connected", []string{"connection=rpc"}},
		{1, "nats_topics", nil},
		{1, "presence_rooms", nil},
		{2, "presence_keys", nil},
		{2, "presence_largest_room_keys", nil},
	} {
		s.await(want.least, want.name, want.labels...)
	}

	// A second connection of ann's is one too many here.
	second := s.dial("username=ann")
	second.ask(`["1","1","rooms:a","phx_join",{}]`, `"status":"ok"`)
	s.await(1, "limits_total", "limit=presence_metas")

	bob.ws.Write(t.Context(), websocket.MessageText, []byte(`["1","9","rooms:a","chat_msg",{"body":"`+strings.Repeat("x", 8<<10)+`"}]`))
	s.await(1, "limits_total", "limit=message")
	s.await(1, "sockets_closed_total", "reason=too_big")
	ann.ws.CloseNow()
	s.await(1, "sockets_closed_total", "reason=client")

	s.nats.Shutdown()
	end := time.Now().Add(patience)
	for s.value("nats_connected", "connection=live") != 0 {
		if time.Now().After(end) {
			t.Fatal("NATS has gone, and counts as connected")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A histogram has both forms, and they agree.
func TestHistogramForms(t *testing.T) {
	s := newScene(t)
	c := s.dial("username=ann")
	c.ask(`["1","1","rooms:a","phx_join",{}]`, `"status":"ok"`)
	c.ask(`["1","2","rooms:a","chat_msg",{"body":"hi"}]`, `"seq":`)
	s.await(1, "delivery_seconds")
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "aristochat_delivery_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if n := len(h.GetBucket()); n == 0 || h.GetBucket()[n-1].GetCumulativeCount() != h.GetSampleCount() {
			t.Errorf("classic buckets: %v, want them to end with %d", h.GetBucket(), h.GetSampleCount())
		}
		if h.Schema == nil || len(h.GetPositiveSpan()) == 0 {
			t.Error("there are no native buckets")
		}
		return
	}
	t.Error("there is no aristochat_delivery_seconds")
}

// A backbone without history has no metrics of one, and all the others.
func TestWithoutHistory(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	ns, err := embedded.Start(&embedded.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Shutdown()
	link, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close(context.Background())
	srv, err := edge.New(link, &edge.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(metrics.New(srv, nil))
	for name, want := range map[string]int{
		"aristochat_sockets": 2, "aristochat_nats_connected": 2, "aristochat_store_gaps_total": 0, "aristochat_presence_keys": 0,
	} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%s has %d samples, %v; want %d", name, n, err, want)
		}
	}
}

// BenchmarkScrape is what one reading by Prometheus costs.
func BenchmarkScrape(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	ns, err := embedded.Start(&embedded.Options{StoreDir: b.TempDir(), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Shutdown()
	link, err := backbone.Connect(b.Context(), &backbone.Options{Server: ns, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer link.Close(context.Background())
	store, err := link.Store(b.Context(), &backbone.StoreOptions{Apply: true})
	if err != nil {
		b.Fatal(err)
	}
	srv, err := edge.New(store, &edge.Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	reg := prometheus.NewRegistry()
	reg.MustRegister(metrics.New(srv, rooms.Serve(srv, nil)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
