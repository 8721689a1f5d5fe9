package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// Messages of gRPC are bytes: no protocol compiler is needed.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) {
	message, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("not bytes: %T", v)
	}
	return *message, nil
}

func (bytesCodec) Unmarshal(data []byte, v any) error {
	message, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("not bytes: %T", v)
	}
	*message = append([]byte(nil), data...)
	return nil
}

func (bytesCodec) Name() string { return "proto" }

// pattern fills with octets that repeat nowhere near a frame's length.
func pattern(size int, seed uint64) []byte {
	out := make([]byte, size)
	source := rand.New(rand.NewPCG(seed, 7))
	for i := 0; i+8 <= size; i += 8 {
		v := source.Uint64()
		for j := 0; j < 8; j++ {
			out[i+j] = byte(v >> (8 * j))
		}
	}
	return out
}

// values are fields of about 1000 octets each, no two alike, that add up to `size`.
func values(size int) map[string]string {
	fields := map[string]string{}
	for i := 0; size > 0; i++ {
		length := min(size, 1000)
		size -= length
		text := fmt.Sprintf("%d-%x", i, rand.Uint64())
		fields[fmt.Sprintf("x-large-%d", i)] = text + strings.Repeat("v", max(0, length-len(text)))
	}
	return fields
}

// tally counts outcomes by name, and keeps the first words about each that is none.
type tally struct {
	mutex  sync.Mutex
	Counts map[string]int    `json:"counts"`
	Said   map[string]string `json:"said"`
	Bytes  int64             `json:"bytes"`
}

func newTally() *tally { return &tally{Counts: map[string]int{}, Said: map[string]string{}} }

func (t *tally) count(name, said string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.Counts[name]++
	if _, ok := t.Said[name]; !ok && said != "" {
		t.Said[name] = said
	}
}

func (t *tally) add(bytes int) {
	t.mutex.Lock()
	t.Bytes += int64(bytes)
	t.mutex.Unlock()
}
