package backbone_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// A server that hangs up once it has answered has no name and no version: an edge
// that took that for an old one would end for good.
func TestServerGone(t *testing.T) {
	srv, err := embedded.Start(&embedded.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	p, err := backbone.NewProbe(srv.ClientURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := p.Describe(); err != nil || i.Name == "" || i.Version == "" {
		t.Errorf("a server that is there is %+v, %v", i, err)
	}
	p.Close()
	if i, err := p.Describe(); err == nil {
		t.Errorf("a server that is gone is %+v, want an error", i)
	}
}

// The list of permissions in docs/operators.md is what an edge needs, no more
// and no less.
func TestDocumentedPermissions(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`"([^"]+)"`)
	list := func(verb string) (subjects []string) {
		block := regexp.MustCompile(`(?s)` + verb + `: +\[(.*?)\]`).FindSubmatch(doc)
		if block == nil {
			t.Fatalf("docs/operators.md has no list %q", verb)
		}
		for _, m := range quoted.FindAllSubmatch(block[1], -1) {
			subjects = append(subjects, string(m[1]))
		}
		return subjects
	}
	want := map[bool][]string{true: list("publish"), false: list("subscribe")}

	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "nobody", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{">"}}, Subscribe: &server.SubjectPermission{Deny: []string{">"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	p, err := backbone.NewProbe("nats://nobody:@"+s.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	denied, err := p.Denied(t.Context(), true, false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[bool][]string{}
	for _, d := range denied {
		got[d.Publish] = append(got[d.Publish], d.Subject)
	}
	for verb := range want {
		slices.Sort(want[verb])
		slices.Sort(got[verb])
		if !slices.Equal(got[verb], want[verb]) {
			t.Errorf("publish %v: who may nothing lacks\n%s\ndocs/operators.md lists\n%s", verb, strings.Join(got[verb], "\n"), strings.Join(want[verb], "\n"))
		}
	}
}

func TestProbe(t *testing.T) {
	c, err := embedded.StartCluster(3, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	p, err := backbone.NewProbe(c.URLs()[0], &backbone.Options{Prefix: "probed"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info, err := p.Server()
	if err != nil || info.Name != "n1" || info.Cluster == "" || info.Version == "" || info.MaxPayload != 1<<20 || info.RTT <= 0 {
		t.Errorf("Server = %+v, %v", info, err)
	}
	if _, err := p.Stream(t.Context(), nil); !errors.Is(err, backbone.ErrNoStream) {
		t.Errorf("Stream = %v, want %v", err, backbone.ErrNoStream)
	}
	l := dial(t, c.Servers[1], func(o *backbone.Options) { o.Prefix = "probed" })
	if _, err := l.ApplyStream(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if denied, err := p.Denied(t.Context(), true, true); err != nil || denied != nil {
		t.Errorf("Denied = %v, %v; want none", denied, err)
	}
	var st backbone.StreamState
	eventually(t, "the stream has a leader", func() bool {
		st, err = p.Stream(t.Context(), &backbone.StreamOptions{MaxPerTopic: 20_000})
		return err == nil && !st.Leaderless
	})
	if st.Name != "ROOMS_probed" || len(st.Mendable) != 1 || st.Offline != nil || st.Ahead.Abs() > st.Within+1e9 {
		t.Errorf("Stream = %+v", st)
	}
	c.Stop(2)
	eventually(t, "a server that keeps messages is seen to be away", func() bool {
		st, err = p.Stream(t.Context(), nil)
		return err == nil && slices.Equal(st.Offline, []string{"n3"})
	})
	// Nothing of all this was stored.
	_, err = l.Store(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	js, err := c.Servers[0].Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Close()
	m, err := js.Request("$JS.API.STREAM.INFO.ROOMS_probed", nil, patience)
	if err != nil || !strings.Contains(string(m.Data), `"last_seq":0`) {
		t.Errorf("the stream is %s, %v; want it empty", m.Data, err)
	}
}
