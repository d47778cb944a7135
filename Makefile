# The words of daily work. CI runs the same steps, all of them: .ci/run

.PHONY: all build fmt lint test fuzz bench js ci

all: fmt lint test

build: # bin/edge, bin/chat …
	go build -o bin/ ./cmd/...

fmt:
	gofmt -s -w .

lint:
	.ci/run format vet lint arrows

test:
	.ci/run test

fuzz: # longer: FUZZTIME=10m make fuzz
	.ci/run fuzz

bench:
	BENCHTIME=1s .ci/run bench

js:
	.ci/run js

ci:
	.ci/run
