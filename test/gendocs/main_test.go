package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheReferenceIsUpToDate(t *testing.T) {
	have, err := os.ReadFile("../../docs/tags.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, reference()) {
		t.Fatal("docs/tags.md is out of date; run: go run tasks.go gen")
	}
}
