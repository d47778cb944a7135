package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A variable that is misspelt in a manifest would be ignored, and an edge whose
// flags are no variables could not be asked by kubectl exec … /edge check.
func TestManifestVariables(t *testing.T) {
	var help strings.Builder
	if _, err := parseConfig([]string{"--help"}, &help); err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`\bARISTOCHAT_[A-Z_]+`).FindAllString(help.String(), -1)
	files := []string{"../../docker-compose.yml"}
	err := filepath.WalkDir("../../k8s", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".yaml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// As the name of a variable in a container, not as one of compose's own.
		for _, m := range regexp.MustCompile(`(?m)(?:^ +|name: *)(ARISTOCHAT_[A-Z_]+)\b`).FindAllSubmatch(text, -1) {
			used++
			if name := string(m[1]); !slices.Contains(flags, name) {
				t.Errorf("%s sets %s, which no edge reads", file, name)
			}
		}
		if filepath.Base(file) == "edge.yaml" && regexp.MustCompile(`(?m)^ +args:`).Match(text) {
			t.Errorf("%s gives the edge flags as args", file)
		}
	}
	if used < 20 {
		t.Errorf("the manifests set %d variables of the edge: this test has not found them", used)
	}
}
