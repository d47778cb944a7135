package client_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/client"
)

// people writes a list as "key: ref ref; key: ref".
func people(list map[string]client.PresenceEntry) string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(list)) {
		keys = append(keys, key+":"+refs(list[key]))
	}
	return strings.Join(keys, "; ")
}

func refs(e client.PresenceEntry) (s string) {
	for _, m := range e.Metas {
		s += " " + m.Ref
	}
	return s
}

// The cases of phoenix.js (assets/test/presence_test.js), each as what the
// server sends and what a client then shows and is told.
func TestPresence(t *testing.T) {
	const (
		state123 = `presence_state {"u1":{"metas":[{"id":1,"phx_ref":"1"}]},"u2":{"metas":[{"id":2,"phx_ref":"2"}]},"u3":{"metas":[{"id":3,"phx_ref":"3"}]}}`
		rejoin   = "rejoin"
	)
	tests := []struct {
		name  string
		sent  []string
		shown string
		told  []string
	}{
		{
			"syncs an empty state",
			[]string{`presence_state {"u1":{"metas":[{"id":1,"phx_ref":"1"}]}}`},
			"u1: 1",
			[]string{"u1 joins: 1", "state u1: 1"},
		},
		{
			"tells of who joined and who left",
			[]string{`presence_state {"u4":{"metas":[{"id":4,"phx_ref":"4"}]}}`, state123},
			"u1: 1; u2: 2; u3: 3",
			[]string{"u4 joins: 4", "state u4: 4", "u1 joins: 1", "u2 joins: 2", "u3 joins: 3", "u4 leaves: 4", "state u1: 1; u2: 2; u3: 3"},
		},
		{
			"tells of new metas only",
			[]string{`presence_state {"u3":{"metas":[{"id":3,"phx_ref":"3"}]}}`, `presence_state {"u3":{"metas":[{"id":3,"phx_ref":"3"},{"id":3,"phx_ref":"3.new"}]}}`},
			"u3: 3 3.new",
			[]string{"u3 joins: 3", "state u3: 3", "u3 of 3 joins: 3.new", "state u3: 3 3.new"},
		},
		{
			"tells of metas that left only",
			[]string{`presence_state {"u3":{"metas":[{"id":3,"phx_ref":"3"},{"id":3,"phx_ref":"3.left"}]}}`, `presence_state {"u3":{"metas":[{"id":3,"phx_ref":"3"}]}}`},
			"u3: 3",
			[]string{"u3 joins: 3 3.left", "state u3: 3 3.left", "u3 leaves: 3.left keeps 3", "state u3: 3"},
		},
		{
			"syncs a diff onto an empty state",
			[]string{`presence_state {}`, `presence_diff {"joins":{"u1":{"metas":[{"id":1,"phx_ref":"1"}]}},"leaves":{}}`},
			"u1: 1",
			[]string{"state ", "u1 joins: 1", "state u1: 1"},
		},
		{
			"removes who has no meta and adds another meta",
			[]string{state123, `presence_diff {"joins":{"u1":{"metas":[{"id":1,"phx_ref":"1.2"}]}},"leaves":{"u2":{"metas":[{"id":2,"phx_ref":"2"}]}}}`},
			"u1: 1 1.2; u3: 3",
			[]string{"u1 joins: 1", "u2 joins: 2", "u3 joins: 3", "state u1: 1; u2: 2; u3: 3", "u1 of 1 joins: 1.2", "u2 leaves: 2", "state u1: 1 1.2; u3: 3"},
		},
		{
			"keeps a key that has other metas",
			[]string{`presence_state {"u1":{"metas":[{"phx_ref":"1"},{"phx_ref":"1.2"}]}}`, `presence_diff {"joins":{},"leaves":{"u1":{"metas":[{"phx_ref":"1"}]}}}`},
			"u1: 1.2",
			[]string{"u1 joins: 1 1.2", "state u1: 1 1.2", "u1 leaves: 1 keeps 1.2", "state u1: 1.2"},
		},
		{
			"a leave of who is not there is nothing",
			[]string{`presence_state {}`, `presence_diff {"joins":{},"leaves":{"u1":{"metas":[{"phx_ref":"1"}]}}}`},
			"",
			[]string{"state ", "state "},
		},
		{
			"a meta that is known already is not there twice",
			[]string{`presence_state {"u1":{"metas":[{"phx_ref":"1"}]}}`, `presence_diff {"joins":{"u1":{"metas":[{"phx_ref":"1"}]}},"leaves":{}}`},
			"u1: 1",
			[]string{"u1 joins: 1", "state u1: 1", "state u1: 1"},
		},
		{
			"an update is one diff: nobody vanishes",
			[]string{`presence_state {"u1":{"metas":[{"phx_ref":"1"}]}}`, `presence_diff {"joins":{"u1":{"metas":[{"phx_ref":"2","phx_ref_prev":"1"}]}},"leaves":{"u1":{"metas":[{"phx_ref":"1"}]}}}`},
			"u1: 2",
			[]string{"u1 joins: 1", "state u1: 1", "u1 of 1 joins: 2", "u1 leaves: 1 keeps 2", "state u1: 2"},
		},
		{
			"diffs wait for the state",
			[]string{`presence_diff {"joins":{},"leaves":{"u2":{"metas":[{"id":2,"phx_ref":"2"}]}}}`, `presence_state {"u1":{"metas":[{"phx_ref":"1"}]},"u2":{"metas":[{"phx_ref":"2"}]}}`},
			"u1: 1",
			[]string{"u1 joins: 1", "u2 joins: 2", "u2 leaves: 2", "state u1: 1"},
		},
		{
			"after joining again diffs wait anew, and who stayed is not told of",
			[]string{
				state123, rejoin, `presence_diff {"joins":{"u5":{"metas":[{"phx_ref":"5"}]}},"leaves":{}}`,
				`presence_state {"u1":{"metas":[{"phx_ref":"1"}]},"u3":{"metas":[{"phx_ref":"3"}]}}`,
			},
			"u1: 1; u3: 3; u5: 5",
			[]string{"u1 joins: 1", "u2 joins: 2", "u3 joins: 3", "state u1: 1; u2: 2; u3: 3", "u2 leaves: 2", "u5 joins: 5", "state u1: 1; u3: 3; u5: 5"},
		},
		{
			"names of an object's prototype are names",
			[]string{`presence_state {"__proto__":{"metas":[{"phx_ref":"1"}]},"":{"metas":[{"phx_ref":"2"}]}}`},
			": 2; __proto__: 1",
			[]string{" joins: 2", "__proto__ joins: 1", "state : 2; __proto__: 1"},
		},
		{
			"what is no presence changes nothing",
			[]string{`presence_state {"u1":{"metas":[{"phx_ref":"1"}]}}`, `presence_state []`, `presence_diff {"joins":7}`, `presence_diff {"joins":{"u2":{"metas":[7]}}}`},
			"u1: 1",
			[]string{"u1 joins: 1", "state u1: 1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines := slices.Clone(tt.sent)
			url := startPeer(t, func(p *peer) {
				f, _ := p.read()
				p.reply(f, "ok", `{}`)
				for len(lines) > 0 {
					line := lines[0]
					lines = lines[1:]
					event, payload, _ := strings.Cut(line, " ")
					if event == rejoin {
						p.event(f, "phx_error", `{}`)
						f, _ = p.read()
						p.reply(f, "ok", `{}`)
						continue
					}
					p.event(f, event, payload)
				}
				p.event(f, "end", `{}`)
				p.read()
			})
			var told []string
			var who *client.Presence
			ch := dial(t, url, nil).Channel("t", nil)
			who = client.NewPresence(ch, client.PresenceHandlers{
				Join: func(key string, before, joined client.PresenceEntry) {
					of := ""
					if len(before.Metas) > 0 {
						of = " of" + refs(before)
					}
					told = append(told, key+of+" joins:"+refs(joined))
				},
				Leave: func(key string, after, left client.PresenceEntry) {
					keeps := ""
					if len(after.Metas) > 0 {
						keeps = " keeps" + refs(after)
					}
					told = append(told, key+" leaves:"+refs(left)+keeps)
				},
				State: func() { told = append(told, "state "+people(who.List())) },
			})
			end := hear(ch, "end")
			join(t, ch)
			await(t, "the end", end)
			if got := people(who.List()); got != tt.shown {
				t.Errorf("shows %s, want %s", got, tt.shown)
			}
			if got := sortRuns(told); !reflect.DeepEqual(got, tt.told) {
				t.Errorf("told\n%q, want\n%q", got, tt.told)
			}
		})
	}
}

// sortRuns sorts what is told of one message: keys have no order.
func sortRuns(told []string) []string {
	kind := func(s string) string {
		for _, k := range []string{"joins:", "leaves:", "state "} {
			if strings.Contains(s, k) {
				return k
			}
		}
		return ""
	}
	for i := 0; i < len(told); {
		j := i
		for j < len(told) && kind(told[j]) == kind(told[i]) && kind(told[j]) != "state " {
			j++
		}
		slices.Sort(told[i:max(i, j)])
		i = max(j, i+1)
	}
	return told
}

// With our server: who is there stays there while a client reconnects, and
// metas can be read.
func TestPresenceOnEdges(t *testing.T) {
	ns := startNATS(t)
	anns, bobs := startEdge(t, startStore(t, ns)), startEdge(t, startStore(t, ns))
	enter := func(s *chatServer, name string) (*client.Channel, *client.Presence, <-chan string) {
		told := make(chan string, 100)
		ch := dial(t, s.url(), user(name)).Channel("rooms:lobby", object{"device": name + "'s phone"})
		who := client.NewPresence(ch, client.PresenceHandlers{
			Join:  func(key string, before, _ client.PresenceEntry) { told <- fmt.Sprint(key, " +", len(before.Metas)) },
			Leave: func(key string, after, _ client.PresenceEntry) { told <- fmt.Sprint(key, " -", len(after.Metas)) },
		})
		join(t, ch)
		return ch, who, told
	}
	_, annSees, annTold := enter(anns, "ann")
	bob, bobSees, _ := enter(bobs, "bob")
	names := func(p *client.Presence) string { return strings.Join(slices.Sorted(maps.Keys(p.List())), " ") }
	for _, p := range []*client.Presence{annSees, bobSees} {
		eventually(t, "both are there", func() bool { return names(p) == "ann bob" })
	}
	var meta struct{ Device string }
	if err := bobSees.Get("ann").Metas[0].Decode(&meta); err != nil || meta.Device != "ann's phone" {
		t.Errorf("ann's meta is %+v, %v", meta, err)
	}
	var raw struct{ Metas []json.RawMessage }
	if err := json.Unmarshal(bobSees.Get("ann").Raw, &raw); err != nil || len(raw.Metas) != 1 {
		t.Errorf("ann's entry is %s, %v", bobSees.Get("ann").Raw, err)
	}
	// Of herself and of bob, perhaps in one message: then in no order.
	begin := []string{await(t, "ann is told", annTold), await(t, "ann is told", annTold)}
	if slices.Sort(begin); !slices.Equal(begin, []string{"ann +0", "bob +0"}) {
		t.Errorf("ann was told %q, want that both joined", begin)
	}

	// Ann's connection breaks. On the next one she sees who is there, and is
	// told of nobody but herself.
	first := annSees.Get("ann").Metas[0].Ref
	anns.cut()
	eventually(t, "ann is there anew", func() bool {
		e := annSees.Get("ann")
		return len(e.Metas) == 1 && e.Metas[0].Ref != first
	})
	push(t, bob, "presence", object{"status": "away"})
	eventually(t, "ann sees that bob is away", func() bool {
		e := annSees.Get("bob")
		return len(e.Metas) == 1 && strings.Contains(string(e.Metas[0].Raw), "away")
	})
	if err := bob.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ann is alone", func() bool { return names(annSees) == "ann" })
	var ofBob []string
	for len(annTold) > 0 {
		if got := <-annTold; strings.HasPrefix(got, "bob") {
			ofBob = append(ofBob, got)
		}
	}
	if want := []string{"bob +1", "bob -1", "bob -0"}; !slices.Equal(ofBob, want) {
		t.Errorf("ann was told %q of bob, want %q: an update, and that he left", ofBob, want)
	}
}
