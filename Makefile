# The words of daily work. CI runs the same steps, all of them: .ci/run

.PHONY: all build fmt lint test fuzz bench browser js ci

all: fmt lint test

build: # bin/edge, bin/chat …
	go build -o bin/ ./cmd/...

fmt:
	gofmt -s -w .

lint:
	.ci/run format vet lint arrows

test:
	.ci/run test

fuzz: # longer: FUZZTIME=1000000x make fuzz
	.ci/run fuzz

bench:
	BENCHTIME=1s .ci/run bench

browser: # installs Chromium (apt-get) if it is missing
	.ci/run browser

js:
	.ci/run js

ci:
	.ci/run
