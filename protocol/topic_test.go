package protocol_test

import (
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

func TestSplitTopic(t *testing.T) {
	for _, tt := range []struct {
		topic, namespace, id string
		colon                bool
	}{
		{"rooms:main", "rooms", "main", true},
		{"rooms:a:b", "rooms", "a:b", true},
		{"rooms:", "rooms", "", true},
		{":x", "", "x", true},
		{"phoenix", "phoenix", "", false},
		{"", "", "", false},
	} {
		if namespace, id, colon := protocol.SplitTopic(tt.topic); namespace != tt.namespace || id != tt.id || colon != tt.colon {
			t.Errorf("SplitTopic(%q) = %q, %q, %v; want %q, %q, %v", tt.topic, namespace, id, colon, tt.namespace, tt.id, tt.colon)
		}
	}
}
