package check

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
)

// NATS checks the servers, and what the edge may do there. Reached says whether
// one of them let us in: if none did, they may yet come.
func NATS(ctx context.Context, c *Config) (f []Finding, reached bool) {
	f, p := servers(c)
	if p == nil {
		return f, false
	}
	defer p.Close()
	return append(f, rights(ctx, c, p)...), true
}

func rights(ctx context.Context, c *Config, p *backbone.Probe) []Finding {
	info, err := p.Server()
	if err != nil {
		return []Finding{failed("nats", "the connection broke: "+err.Error(), "see the server's log")}
	}
	var f []Finding
	missing, err := p.Denied(ctx, c.History, c.Apply)
	if err != nil {
		return append(f, failed("permissions", err.Error(), "see the server's log"))
	}
	f = append(f, permissions(c, missing))
	if !c.History {
		return append(f, warning("storage", "--history off: messages reach who is there, and nobody later", "leave out --history off"))
	}
	if slices.ContainsFunc(missing, func(m backbone.Permission) bool { return strings.Contains(m.Subject, "STREAM.INFO") }) {
		return f // it would not be answered
	}
	return append(f, history(ctx, c, p, info)...)
}

// answer is what came of connecting to one server.
type answer struct {
	host  string
	probe *backbone.Probe
	info  backbone.ServerInfo
	err   error
}

// servers connects to each, and returns the first connection that stands, nil
// if there is none.
func servers(c *Config) ([]Finding, *backbone.Probe) {
	const name = "nats"
	answers := make([]answer, len(c.NATS))
	var wg sync.WaitGroup
	for i, u := range c.NATS {
		wg.Go(func() { answers[i] = connect(u, &c.Backbone) })
	}
	wg.Wait()

	var probe *backbone.Probe
	var bad []Finding
	var good []string
	for _, a := range answers {
		if a.err != nil {
			message, change := Explain(a.err)
			bad = append(bad, failed(name, a.host+": "+message, change))
			continue
		}
		good = append(good, fmt.Sprintf("%s (%s, %s, %v away)", a.host, a.info.Name, a.info.Version, a.info.RTT.Round(10*time.Microsecond)))
		if probe == nil {
			probe = a.probe
		} else {
			a.probe.Close()
		}
	}
	if probe == nil {
		return bad, nil
	}
	for i := range bad {
		bad[i].Level = Warning // the edge has others
	}
	f := slices.Concat(bad, []Finding{ok(name, "%d of %d answer: %s", len(good), len(answers), strings.Join(good, ", "))})
	if w := cluster(answers); w != nil {
		f = append(f, *w)
	}
	return append(f, least(answers)...), probe
}

func connect(rawURL string, o *backbone.Options) answer {
	a := answer{host: rawURL}
	if u, err := url.Parse(rawURL); err == nil && u.Host != "" {
		a.host = u.Host // without what is secret
	}
	if a.probe, a.err = backbone.NewProbe(rawURL, o); a.err != nil {
		return a
	}
	if a.info, a.err = a.probe.Server(); a.err != nil {
		a.probe.Close()
	}
	return a
}

// cluster asks whether the servers know each other.
func cluster(answers []answer) *Finding {
	names := map[string]string{} // of clusters, and of servers that stand alone
	for _, a := range answers {
		if a.err != nil {
			continue
		}
		if a.info.Cluster == "" {
			names["server "+a.info.Name] = a.host
		} else {
			names["cluster "+a.info.Cluster] = a.host
		}
	}
	if len(names) < 2 {
		return nil
	}
	var list []string
	for n, host := range names {
		list = append(list, fmt.Sprintf("%s is %s", host, n))
	}
	slices.Sort(list)
	w := warning("cluster", "the servers are not one cluster: "+strings.Join(list, ", ")+". Edges on different ones do not hear each other, unless gateways or leaf nodes join them",
		"configure them as one cluster (cluster name and routes), or name only those of one in --nats")
	return &w
}

// least checks the oldest server, and the one that takes the smallest messages.
func least(answers []answer) []Finding {
	var all []backbone.ServerInfo
	for _, a := range answers {
		if a.err == nil {
			all = append(all, a.info)
		}
	}
	oldest := slices.MinFunc(all, func(a, b backbone.ServerInfo) int { return compareVersions(a.Version, b.Version) })
	smallest := slices.MinFunc(all, func(a, b backbone.ServerInfo) int { return cmp.Compare(a.MaxPayload, b.MaxPayload) })
	return []Finding{version(oldest), payload(smallest)}
}

func version(info backbone.ServerInfo) Finding {
	const name = "version"
	if compareVersions(info.Version, backbone.OldestServer) < 0 {
		return lasting(failed(name, fmt.Sprintf("%s is nats-server %s: reading history needs %s", info.Name, info.Version, backbone.OldestServer), "update nats-server"))
	}
	return ok(name, "nats-server %s", info.Version)
}

// compareVersions compares such as 2.11.0-RC.1, of which only the numbers count.
func compareVersions(a, b string) int {
	numbers := func(s string) (n [3]int) {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
		for i, part := range strings.SplitN(s, ".", 3) {
			n[i], _ = strconv.Atoi(part)
		}
		return n
	}
	x, y := numbers(a), numbers(b)
	return slices.Compare(x[:], y[:])
}

func payload(info backbone.ServerInfo) Finding {
	const name = "max_payload"
	if info.MaxPayload < backbone.LeastPayload {
		return failed(name, fmt.Sprintf("%s takes messages of %d KiB: edges need %d KiB, for long-polling clients and large rooms", info.Name, info.MaxPayload>>10, backbone.LeastPayload>>10),
			"raise max_payload in nats-server's configuration to 1MB")
	}
	return ok(name, "NATS takes messages of %d KiB", info.MaxPayload>>10)
}

func permissions(c *Config, missing []backbone.Permission) Finding {
	const name = "permissions"
	if len(missing) == 0 {
		return ok(name, "the edge may do all that it needs")
	}
	var words []string
	onlyApply := true
	for _, m := range missing {
		words = append(words, m.String())
		onlyApply = onlyApply && (strings.Contains(m.Subject, "STREAM.CREATE") || strings.Contains(m.Subject, "STREAM.UPDATE"))
	}
	message := "the edge may not " + strings.Join(words, ", ")
	if onlyApply {
		return failed(name, message, "start it with --stream check, and run edge stream apply with credentials that may, or allow it")
	}
	return lasting(failed(name, message, "allow it in nats-server's configuration: docs/operators.md has the list, with prefix "+cmp.Or(c.Backbone.Prefix, "chat")))
}
