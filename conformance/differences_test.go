package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aristochat/aristochat/conformance"
)

// The reasons for which we may answer otherwise than the recorded server.
type reason string

const (
	since18     reason = "changed in Phoenix 1.8, which is our baseline"
	adapter     reason = "the other of Phoenix's web servers answers like this"
	improvement reason = "a safe improvement over Phoenix"
	ours        reason = "our design"
)

// A difference is an answer of ours that is not the recorded one. The edit
// turns the recorded steps of a case into what we answer, and the case is held
// to that: an edit that changes nothing, or that we do not answer with, fails
// the test.
type difference struct {
	why   reason
	what  string
	edit  edit
	cases []string
}

// An edit changes c.Steps, which are the case's own.
type edit func(c *conformance.Case)

// general are the edits that find the steps they concern by themselves. The
// test applies them to all cases, to see that none is missing in the table.
var general = map[string]edit{
	"channelCrash":         channelCrash,
	"joinRefInV1":          joinRefInV1,
	"disconnectedWith1001": disconnectedWith1001,
}

// differences is the whole list. Every case that is not in it is answered as
// recorded. A case may be in it more than once; the edits follow each other.
var differences = []difference{
	{
		ours, "a topic of more than 255 bytes has no NATS subject and is refused", topicTooLong,
		[]string{"v1-join-topic-long", "v2-join-topic-long", "v2-binary-topic-256-reply"},
	},
	{
		since18, "1.8.10: phx_error says that the channel crashed", channelCrash, []string{
			"v2-join-int-refs-crash", "v2-chat-missing-body", "v1-chat-payload-not-map", "v2-chat-payload-not-map",
			"v2-chat-unknown-event", "v2-chat-crash-other-member", "v1-heartbeat-other-topic",
			"v2-heartbeat-other-topic", "v2-malformed-event-null-joined", "v2-json-broadcast-non-map",
			"v2-binary-chat-msg", "v2-binary-ref-256-push", "v2-binary-bad-utf8-ref",
			"v2-binary-bad-utf8-event", "v2-binary-intercepted", "mixed-binary-broadcast-v1-member", "v1-end-stop-bad",
			"v2-end-stop-bad", "v2-end-crash", "v1-end-exit-normal", "v2-end-exit-normal", "v1-end-bad-return",
			"v1-end-bad-reply", "v2-end-bad-reply", "v1-unknown-event-lobby", "v2-unknown-event-lobby",
			"v1-reserved-events", "v2-reserved-events", "v2-presence-untrack", "v2-presence-crash",
		},
	},
	{
		since18, "1.8.8: a socket that is told to disconnect is closed with 1001, so that clients come back", disconnectedWith1001, []string{
			"v1-disconnect-broadcast", "v2-disconnect-broadcast", "v1-disconnect-self", "v2-disconnect-self",
			"v2-disconnect-by-broadcast-payload", "cluster-disconnect",
		},
	},
	{
		since18, "1.8.3: a push with a stale join_ref is dropped", answers(9, 1, quiet), []string{"v2-join-duplicate"},
	},
	{
		since18, "1.8.3: a push with a stale join_ref is dropped", answers(6, 1, quiet), []string{"v1-join-with-join-ref"},
	},
	{
		since18, "1.8.3: a push with a stale join_ref is dropped; 1.8.12: null is not stale",
		both(answers(7, 1, quiet), answers(11, 1, quiet)), []string{"v2-push-stale-join-ref"},
	},
	{
		since18, "1.8.3: a binary push without join_ref has the join_ref \"\", which is stale", answers(4, 1, quiet),
		[]string{"v2-binary-no-join-ref", "v2-binary-null-ref-join"},
	},
	{
		since18, "1.8.12: a leave with the join_ref null is one of the channel's own",
		both(
			answers(6, 1, `[null,"7","rooms:l9","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`),
			answers(4, 1, `["5","6","rooms:l9","phx_reply",{"status":"ok","response":{}}]`, `["5","5","rooms:l9","phx_close",{}]`),
		), []string{"v2-leave-null-join-ref"},
	},
	{
		improvement, "phx_close and phx_error of a V1 channel carry the ref of its join, so that a 1.2 client does not take them for its next one", joinRefInV1, []string{
			"v1-join-duplicate", "v1-join-duplicate-same-ref", "v1-join-int-ref", "v1-chat-payload-not-map",
			"v1-heartbeat-other-topic", "v1-leave-twice", "v1-leave-rejoin", "v1-leave-others-stay",
			"v1-leave-other-topic-stays", "v1-end-stop", "v1-end-stop-reply", "v1-end-stop-shutdown-reason",
			"v1-end-stop-bad", "v1-end-exit-normal", "v1-end-bad-return", "v1-end-bad-reply", "v1-unknown-event-lobby",
			"v1-reserved-events", "mixed-presence-v1-v2",
		},
	},
	{
		improvement, "a member who joins again is told of in one presence_diff, as an update is: it never appears to leave",
		both(joinedDiffs(13, 14), joinedDiffs(17, 12)), []string{"v2-presence-rejoin"},
	},
	{
		improvement, "sockets without channels are drained like all others", closedWith(1012), []string{"shutdown-not-joined"},
	},
	{
		adapter, "the client's close code is echoed", asCowboy, []string{
			"frame-close-no-code", "frame-close-1002", "frame-close-1003", "frame-close-1007", "frame-close-1008",
			"frame-close-1011", "frame-close-4000", "frame-close-5000",
		},
	},
	{
		adapter, "an empty fragment is no offence", asCowboy, []string{"frame-fragmented-empty-middle"},
	},
	{
		adapter, "the size limit does not count the header, and bounds the message, not the frame", asCowboy,
		[]string{"limit-frame-4089", "limit-fragments-over"},
	},
	{
		since18, "websocket adapter 0.6: the limit is 10,000,000 bytes", asCowboy, []string{"big-text-8mb-over"},
	},
	{
		since18, "1.8.10: phx_error says that the channel crashed", polledCrash, []string{"lp-crash-in-channel"},
	},
	{
		improvement, "a long-polling session that is gone is known at once, since its edge is asked", eachAnswer(atOnce), []string{
			"lp-disconnect", "lp-expiry", "lp-expiry-post-first", "lp-post-does-not-keep-alive", "lp-malformed-json", "lp-malformed-short-array",
		},
	},
	{
		improvement, "what is no message ends a long-polling session at once", eachAnswer(malformedIsGone),
		[]string{"lp-malformed-json", "lp-malformed-short-array", "lp-post-empty-body"},
	},
	{
		improvement, "an empty line is no message", both(
			answered(1, `{"status":200}`),
			answered(2, `{"messages":["[null,\"1\",\"phoenix\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"],"status":200,"token":"{{token}}"}`),
		), []string{"lp-blank-lines"},
	},
	{
		improvement, "a page of another origin can read that its request was in error", eachAnswer(readable),
		[]string{"lp-body-over-8mb", "lp-binary-bad-base64", "lp-binary-server-push"},
	},
	{
		improvement, "a poll that is open while the server stops is told at once to begin anew, elsewhere",
		answered(5, `{"messages":[],"status":410,"token":"{{token}}"}`), []string{"shutdown-longpoll"},
	},
}

// quiet stands for no answer.
const quiet = ""

// answers replaces n steps from i on by texts that the client receives.
func answers(i, n int, texts ...string) edit {
	return func(c *conformance.Case) {
		var steps []conformance.Step
		for _, t := range texts {
			if t == quiet {
				steps = append(steps, conformance.Step{QuietMS: 100})
			} else {
				steps = append(steps, received(t))
			}
		}
		c.Steps = slices.Replace(c.Steps, i, i+n, steps...)
	}
}

func received(text string) conformance.Step {
	t := conformance.Text(text)
	return conformance.Step{Recv: &t}
}

// eachAnswer lets f change the answers to requests.
func eachAnswer(f func(r *conformance.Response)) edit {
	return func(c *conformance.Case) {
		for i := range c.Steps {
			if s := &c.Steps[i]; s.Response != nil {
				r := *s.Response
				r.Headers = maps.Clone(r.Headers)
				f(&r)
				s.Response = &r
			}
		}
	}
}

func atOnce(r *conformance.Response) { r.ElapsedMSAbout = 0 }

func malformedIsGone(r *conformance.Response) {
	if r.Body == `{"status":408}` {
		r.Body, r.ElapsedMSAbout = `{"status":410}`, 0
	}
}

func readable(r *conformance.Response) {
	if r.Status != http.StatusOK {
		r.Headers["access-control-allow-origin"] = "*"
	}
}

// answered replaces the body of the answer at step i, which comes at once.
func answered(i int, body conformance.Text) edit {
	return func(c *conformance.Case) {
		r := *c.Steps[i].Response
		r.Body, r.ElapsedMSAbout, r.Capture = body, 0, nil
		c.Steps[i].Response = &r
	}
}

func polledCrash(c *conformance.Case) {
	eachAnswer(func(r *conformance.Response) {
		body := strings.Replace(string(r.Body), `\"phx_error\",{}]`, `\"phx_error\",{\"reason\":\"channel_crash\"}]`, 1)
		r.Body = conformance.Text(body)
	})(c)
}

func both(edits ...edit) edit {
	return func(c *conformance.Case) {
		for _, e := range edits {
			e(c)
		}
	}
}

func asCowboy(c *conformance.Case) {
	c.Steps, c.Dynamic = slices.Clone(c.CowboySteps), c.CowboyDynamic
}

// eachReceived lets f change the texts that the client receives.
func eachReceived(c *conformance.Case, f func(s *conformance.Step, text string) string) {
	for i := range c.Steps {
		if s := &c.Steps[i]; s.Recv != nil {
			t := conformance.Text(f(s, string(*s.Recv)))
			s.Recv = &t
		}
	}
}

func channelCrash(c *conformance.Case) {
	const says = `{"reason":"channel_crash"}`
	eachReceived(c, func(_ *conformance.Step, text string) string {
		if v2, ok := strings.CutSuffix(text, `"phx_error",{}]`); ok {
			return v2 + `"phx_error",` + says + `]`
		}
		return strings.Replace(text, `{"event":"phx_error","payload":{},`, `{"event":"phx_error","payload":`+says+`,`, 1)
	})
}

func closedWith(code int) edit {
	return func(c *conformance.Case) {
		for i := range c.Steps {
			if s := &c.Steps[i]; s.Close != nil {
				s.Close = &conformance.CloseFrame{Code: &code}
			}
		}
	}
}

// disconnectedWith1001 concerns a close with 1000 that neither the client nor
// the server's end has caused.
func disconnectedWith1001(c *conformance.Case) {
	if !slices.ContainsFunc(c.Steps, func(s conformance.Step) bool {
		return s.SendClose != nil || s.SendFrame != nil || s.ServerSigterm
	}) && slices.ContainsFunc(c.Steps, func(s conformance.Step) bool {
		return s.Close != nil && s.Close.Code != nil && *s.Close.Code == 1000
	}) {
		closedWith(1001)(c)
	}
}

// joinRefInV1 follows the joins of a case, since a phx_close concerns the
// oldest incarnation of its channel that still lives.
func joinRefInV1(c *conformance.Case) {
	type message struct {
		Topic, Event string
		Ref          json.RawMessage
		JoinRef      json.RawMessage `json:"join_ref"`
		Payload      struct{ Status string }
	}
	joining := map[string]json.RawMessage{} // by connection and topic
	joined := map[string][]json.RawMessage{}
	for i := range c.Steps {
		s := &c.Steps[i]
		text := s.Send
		if text == nil {
			text = s.Recv
		}
		if text == nil || !strings.HasPrefix(string(*text), "{") {
			continue
		}
		var m message
		_ = json.Unmarshal([]byte(*text), &m) // what cannot be read is no join
		key := s.Conn + " " + m.Topic
		if s.Send != nil {
			if m.Event == "phx_join" {
				joining[key] = m.Ref
				if m.JoinRef != nil {
					joining[key] = m.JoinRef
				}
			}
			continue
		}
		switch {
		case m.Event == "phx_reply" && m.Payload.Status == "ok" && joining[key] != nil:
			joined[key] = append(joined[key], joining[key])
			delete(joining, key)
		case strings.Contains(string(*text), `{"event":"phx_close","payload":{},`), m.Event == "phx_error":
			if len(joined[key]) == 0 {
				continue
			}
			t := conformance.Text(strings.Replace(string(*text), `"ref":null`, `"ref":`+string(joined[key][0]), 1))
			s.Recv = &t
			joined[key] = joined[key][1:]
		}
	}
}

// topicTooLong keeps the case up to its join, which is refused, and then lets
// it find the topic not joined.
func topicTooLong(c *conformance.Case) {
	const tooLong, unmatched = `{"response":{"reason":"topic too long"},"status":"error"}`, `{"response":{"reason":"unmatched topic"},"status":"error"}`
	var topic string
	for i := range c.Steps {
		switch s := &c.Steps[i]; {
		case s.Send != nil:
			text := string(*s.Send)
			topic = text[strings.IndexByte(text, ':')-5:] // from rooms: or lobby:
			if strings.HasPrefix(text, "{") {
				topic = text[len(`{"topic":"`):]
			}
			topic = topic[:strings.IndexByte(topic, '"')]
		case s.Recv != nil && i == 2 && strings.HasPrefix(string(*s.Recv), "{"):
			*s = received(fmt.Sprintf(`{"topic":%q,"event":"phx_reply","ref":"1","payload":%s}`, topic, tooLong))
		case s.Recv != nil && i == 2:
			*s = received(fmt.Sprintf(`["1","1",%q,"phx_reply",%s]`, topic, tooLong))
		case s.Recv != nil && strings.HasPrefix(string(*s.Recv), "{"):
			*s = received(fmt.Sprintf(`{"topic":%q,"event":"phx_reply","ref":"2","payload":%s}`, topic, unmatched))
		case s.Recv != nil:
			*s = received(fmt.Sprintf(`[null,"2",%q,"phx_reply",%s]`, topic, unmatched))
		}
	}
}

// joinedDiffs makes one presence_diff of those at steps i and j, in the place
// of the first. The other place is a pause.
func joinedDiffs(i, j int) edit {
	return func(c *conformance.Case) {
		type diff struct {
			Joins  map[string]json.RawMessage `json:"joins"`
			Leaves map[string]json.RawMessage `json:"leaves"`
		}
		var frame, other []json.RawMessage
		var d, more diff
		mustUnmarshal(string(*c.Steps[i].Recv), &frame)
		mustUnmarshal(string(*c.Steps[j].Recv), &other)
		mustUnmarshal(string(frame[4]), &d)
		mustUnmarshal(string(other[4]), &more)
		maps.Copy(d.Joins, more.Joins)
		maps.Copy(d.Leaves, more.Leaves)
		frame[4], _ = json.Marshal(d) // of what was JSON before
		text, _ := json.Marshal(frame)
		step := received(string(text))
		step.Conn = c.Steps[i].Conn
		c.Steps[i], c.Steps[j] = step, conformance.Step{WaitMS: 1}

		c.Dynamic = slices.Clone(c.Dynamic)
		for k := range c.Dynamic {
			if d := &c.Dynamic[k]; d.Step == j {
				d.Step = i
			}
			if same := c.Dynamic[k].SameAs; same != nil && same.Step == j {
				moved := *same
				moved.Step = i
				c.Dynamic[k].SameAs = &moved
			}
		}
	}
}

// mustUnmarshal reads what is part of a recording.
func mustUnmarshal(text string, v any) {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		panic(err)
	}
}
