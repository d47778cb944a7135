package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/aristochat/aristochat/edge/metrics"
)

var update = flag.Bool("update", false, "write the table of metrics into docs/observability.md")

const monitoring = "../../monitoring/"

// gather returns all that an edge exports.
func gather(t *testing.T) (*prometheus.Registry, map[string]*dto.MetricFamily) {
	t.Helper()
	cfg, err := parseConfig([]string{"--data", t.TempDir(), "--log-level", "error"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	log, lines := newLogger(t.Output(), cfg)
	e, err := open(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		e.srv.Shutdown(ctx)
		e.link.Close(ctx)
		e.stopAll(ctx)
	})
	reg := newRegistry(&front{}, lines)
	reg.MustRegister(metrics.New(e.srv, e.who))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return reg, byName
}

func TestMetricNames(t *testing.T) {
	reg, _ := gather(t)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What dashboard and alerts ask for is there: metrics, labels, and their values.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	_, families := gather(t)
	for _, file := range []string{"dashboard.json", "alerts.yml", "alerts_test.yml"} {
		b, err := os.ReadFile(monitoring + file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), `\"`, `"`)
		uses := regexp.MustCompile(`\b(?:aristochat|go|process)_[a-z0-9_]+(?:\{[^}]*\})?`).FindAllString(text, -1)
		if len(uses) == 0 {
			t.Errorf("%s asks for nothing", file)
		}
		for _, use := range uses {
			name, selector, _ := strings.Cut(use, "{")
			f := families[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base := strings.TrimSuffix(name, suffix); f == nil && families[base].GetType() == dto.MetricType_HISTOGRAM {
					f = families[base]
				}
			}
			if f == nil {
				t.Errorf("%s asks for %s, which no edge has", file, name)
				continue
			}
			for _, m := range regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`).FindAllStringSubmatch(selector, -1) {
				for value := range strings.SplitSeq(m[3], "|") {
					if label := m[1]; !slices.Contains([]string{"instance", "job", "le"}, label) && !hasValue(f, label, value) {
						t.Errorf("%s asks for %s with %s %s, which no edge has", file, name, label, value)
					}
				}
			}
		}
	}
}

func hasValue(f *dto.MetricFamily, label, value string) bool {
	return slices.Contains(labelsOf(f)[label], value)
}

func labelsOf(f *dto.MetricFamily) map[string][]string {
	labels := make(map[string][]string)
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(labels[l.GetName()], l.GetValue()) {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
	}
	return labels
}

// Each alert leads to an entry of the runbook, and each entry has its alert.
func TestRunbook(t *testing.T) {
	rules, err := os.ReadFile(monitoring + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^### (Aristochat\w+)$`).FindAllStringSubmatch(string(runbook), -1) {
		entries[m[1]] = false
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatchIndex(string(rules), -1)
	if len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	for i, m := range alerts {
		name, end := string(rules[m[2]:m[3]]), len(rules)
		if i+1 < len(alerts) {
			end = alerts[i+1][0]
		}
		if _, ok := entries[name]; !ok {
			t.Errorf("docs/runbook.md has no entry ### %s", name)
		}
		entries[name] = true
		// GitHub's anchor of a heading of one word.
		if want := "docs/runbook.md#" + strings.ToLower(name) + "\n"; !strings.Contains(string(rules[m[0]:end]), want) {
			t.Errorf("%s does not lead to %s", name, want)
		}
	}
	for name, used := range entries {
		if !used {
			t.Errorf("docs/runbook.md has an entry for %s, which is no alert", name)
		}
	}
}

// docs/observability.md has all metrics, and none that are gone.
func TestMetricsTable(t *testing.T) {
	const file, begin, end = "../../docs/observability.md", "<!-- metrics -->\n", "<!-- /metrics -->"
	_, families := gather(t)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := metricsTable(families)
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table in %s is not that of the metrics: write it with -update", file)
	}
}

func metricsTable(families map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("| `aristochat_…` | | labels | |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		short, ok := strings.CutPrefix(name, "aristochat_")
		if !ok {
			continue
		}
		f := families[name]
		var labels []string
		for label, values := range labelsOf(f) {
			if name == "aristochat_build_info" { // which differ
				values = nil
			}
			slices.Sort(values)
			labels = append(labels, strings.TrimSuffix(fmt.Sprintf("`%s`: %s", label, strings.TrimPrefix(strings.Join(values, ", "), ", ")), ": "))
		}
		slices.Sort(labels)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", short, strings.ToLower(f.GetType().String()), strings.Join(labels, "; "), f.GetHelp())
	}
	return b.String()
}
